//! `mbsd-train`: see `mbsd-train --help` and `docs/training.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    keep_freed_memory();
    mbsd_train::cli::main()
}

/// Keeps freed memory in the process. A training step frees and allocates the same hundreds of megabytes each time;
/// by default glibc hands large blocks back to the kernel, which clears and maps every page again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn keep_freed_memory() {
    /// The largest block that glibc still takes from its own heap.
    const LARGEST: i32 = 32 << 20;
    // SAFETY: mallopt only sets parameters of the allocator, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 2 * LARGEST);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed_memory() {}
