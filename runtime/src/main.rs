//! `mbsd`: the deployed program. Parses the command line, runs one command, and turns its outcome into an exit status.

mod cli;
mod commands;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

fn main() -> ExitCode {
    give_back_freed_memory();
    match Cli::try_parse() {
        Ok(cli) => finish(commands::run(cli.command)),
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
        }
    }
}

/// Gives large blocks back to the kernel as soon as they are freed, and has all threads take small ones from one heap. A job takes
/// blocks of ever other sizes on several threads; by default glibc keeps a heap a thread and raises the limit of what it keeps, so
/// that memory grows for thousands of products.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn give_back_freed_memory() {
    /// The smallest block that is given back by itself, and what may stay free at the heap's end.
    const LARGE: i32 = 128 << 10;
    // SAFETY: mallopt only sets parameters of the allocator, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back_freed_memory() {}

/// The exit status of wrong usage.
const USAGE: u8 = 2;

fn finish(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        // Whoever reads our output has read enough.
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("error: {error}\n");
            let mut last = error.to_string();
            for cause in error.chain().skip(1) {
                let cause = cause.to_string();
                if cause != last {
                    text.push_str(&format!("  caused by: {cause}\n"));
                }
                last = cause;
            }
            // Nothing is left to be done where the error stream is closed too.
            let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
