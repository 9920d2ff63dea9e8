//! `mbsd`: the deployed program. Parses the command line, runs one command, and turns its outcome into an exit status.

mod cli;
mod commands;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => finish(commands::run(cli.command)),
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
        }
    }
}

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
