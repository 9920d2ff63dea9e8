//! The project's own commands: `cargo xtask demo`, `test`, `onnxruntime`, `python`, `figure8`, `bench-peers` and `way-back`.

mod bench;
mod catalogue;
mod check;
mod demo;
mod onnx_check;
mod onnxruntime;
mod python;
mod report;
mod way_back;
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
    /// Import the graphs of tests/way_back with burn-onnx, which compiles Burn once more, and compare the modules
    WayBack(way_back::WayBackArgs),
    /// The paper's Figure 8 on this machine: image encoding and transformer by batch, into target/figure8
    Figure8(bench::Figure8Args),
    /// Measure a bundle's graphs through other libraries' Python APIs too, in turns with ours, into target/bench-peers
    BenchPeers(bench::PeersArgs),
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
        Command::Figure8(args) => bench::figure8(&workspace, &args),
        Command::BenchPeers(args) => bench::peers(&workspace, &args),
        Command::Test => check::run(&workspace),
        Command::Onnxruntime => {
            println!("ONNX Runtime {}", onnxruntime::ensure(&workspace)?.describe(&workspace));
            Ok(())
        }
        Command::WayBack(args) => way_back::run(&workspace, &args),
        Command::Python => {
            println!("{}", workspace.shown(&python::ensure(&workspace)?));
            Ok(())
        }
    }
}
