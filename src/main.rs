//! The command line. Errors are one line; the exit code is 2 when the command line or the configuration is wrong.

mod commands;

use std::process::ExitCode;

use madang::config::Fault;

use crate::commands::Usage;

/// A request makes hundreds of small allocations. With glibc's allocator it takes a quarter more CPU, and the memory of
/// password hashes stays with each thread that ever made one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
