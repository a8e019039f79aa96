//! The command line: says in one line what does not work, and ends with 2 when that is the command line or the
//! configuration.

mod commands;

use std::process::ExitCode;

use madang::config::Fault;

use crate::commands::Usage;

/// A request makes some hundred small allocations: with glibc's it takes a quarter more CPU, and what password hashes took
/// stays with each thread that ever made one.
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
