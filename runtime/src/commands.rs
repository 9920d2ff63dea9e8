//! What each command does: from parsed arguments to files and text.

pub(crate) mod align;
pub(crate) mod bench;
mod catalogue;
pub(crate) mod choose;
pub(crate) mod classify;
pub(crate) mod embed;
pub(crate) mod eval;
pub(crate) mod hand_over;
pub(crate) mod inspect;
pub(crate) mod run;
pub(crate) mod tag;
pub(crate) mod verify;

use std::process::ExitCode;

use crate::cli::Command;

/// Runs a command. The exit status differs from success where a program that was handed over to says so.
pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Tag(args) => tag::run(args)?,
        Command::Classify(args) => classify::run(args)?,
        Command::Align(args) => align::run(args)?,
        Command::Embed(args) => embed::run(args)?,
        Command::Eval(args) => eval::run(args)?,
        Command::Run(args) => run::run(args)?,
        Command::Inspect(args) => inspect::run(args)?,
        Command::Verify(args) => return verify::run(args),
        Command::Bench(args) => return bench::run(*args),
        Command::Choose(args) => return choose::run(*args),
        Command::BenchWorker => bench::worker()?,
        Command::Train(args) => return hand_over::run("train", "mbsd-train", args),
        Command::Export(args) => return hand_over::run("export", "mbsd-export", args),
        Command::Calibrate(args) => return hand_over::run("calibrate", "mbsd-calib", args),
    }
    Ok(ExitCode::SUCCESS)
}
