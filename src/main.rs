//! The command line. Errors are one line; the exit code is 2 when the command line or the configuration is wrong.

mod commands;
mod heap;

use std::process::ExitCode;

use madang::config::Fault;

use crate::commands::Usage;

fn main() -> ExitCode {
    match commands::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("madang: {error:#}");
            ExitCode::from(if error.is::<Fault>() || error.is::<Usage>() {
                2
            } else {
                1
            })
        }
    }
}
