//! The project's own commands: `cargo xtask demo`, `test`, `onnxruntime` and `python`.

mod catalogue;
mod check;
mod demo;
mod onnx_check;
mod onnxruntime;
mod python;
mod report;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use workspace::Workspace;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's own commands", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a small model, compile it, tag products with it, and write a report
    Demo(demo::DemoArgs),
    /// Check everything that CI checks
    Test,
    /// Fetch the ONNX Runtime library into target/onnxruntime (the other commands do so too)
    Onnxruntime,
    /// Make a virtual environment in target/python with what tests/python needs (`test` does so too)
    Python,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Demo(args) => demo::run(&workspace, &args),
        Command::Test => check::run(&workspace),
        Command::Onnxruntime => {
            println!("ONNX Runtime {}", onnxruntime::ensure(&workspace)?.describe(&workspace));
            Ok(())
        }
        Command::Python => {
            println!("{}", workspace.shown(&python::ensure(&workspace)?));
            Ok(())
        }
    }
}
