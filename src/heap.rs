//! The allocator, and how memory that is no longer used goes back to the system.

#![allow(unsafe_code, reason = "the only calls to the allocators")]

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// A request makes hundreds of small allocations. With glibc's allocator it takes a quarter more CPU, and the memory of
/// password hashes stays with each thread that ever made one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often a thread gives memory back.
pub const PAUSE: Duration = Duration::from_secs(5);

/// Gives back what this thread no longer uses, if it has not done so for [`PAUSE`]. The allocator itself does this only
/// after so many allocations: an idle server would keep what an attack took.
pub fn give_back() {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    if LAST.get().is_some_and(|last| last.elapsed() < PAUSE) {
        return;
    }
    LAST.set(Some(Instant::now()));
    // SAFETY: it may be called at any time, from any thread.
    unsafe { libmimalloc_sys::mi_collect(false) };
}

/// Gives back what libraries in C no longer use, above all SQLite. They allocate with glibc, which keeps it for each thread.
pub fn give_back_of_libraries() {
    // SAFETY: it may be called at any time, from any thread.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}
