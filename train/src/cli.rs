//! The command line.

mod evaluate;

use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use clap::{Args, Parser, Subcommand};

use crate::{Run, Span, TrainError, finetune};

/// Trains MBSD.
#[derive(Debug, Parser)]
#[command(name = "mbsd-train", bin_name = "mbsd train", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a head for match or classification.
    Finetune(Finetune),
    /// Measure a checkpoint on labelled rows, with each modality.
    Eval(evaluate::Eval),
}

#[derive(Debug, Args)]
struct Finetune {
    /// The run file.
    #[arg(long, value_name = "RUN.TOML")]
    config: PathBuf,
    /// Change a key of the run file, such as optimizer.learning_rate=3e-4; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where to compute.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Continue after the last finished epoch; starts if there is none.
    #[arg(long)]
    resume: bool,
    /// End after so many epochs; --resume goes on.
    #[arg(long, value_name = "EPOCHS")]
    stop_after: Option<usize>,
}

/// Parses the arguments and runs the command: exit code 0 done, 1 failed, 2 usage.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Finetune(arguments) => run_finetune(&arguments),
        Command::Eval(arguments) => evaluate::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut causes = String::new();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                causes.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            eprintln!("error: {error}{causes}");
            ExitCode::FAILURE
        }
    }
}

fn run_finetune(arguments: &Finetune) -> Result<(), TrainError> {
    let device = device(&arguments.device)?;
    let run = Run::from_file(&arguments.config, &arguments.set)?;
    let span = Span { resume: arguments.resume, stop_after: arguments.stop_after };
    finetune(&run, span, &device)?;
    eprintln!("checkpoints: {0}/best, {0}/last", run.output.display());
    Ok(())
}

fn device(name: &str) -> Result<Device, TrainError> {
    match name {
        "cpu" => Ok(Device::flex()),
        other => Err(TrainError::Device(other.to_owned())),
    }
}
