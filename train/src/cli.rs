//! The command line.

mod ablate;
mod duplicates;
mod evaluate;
mod pairs;
mod tokenizer;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::checkpoint::{BEST, LAST};
use crate::device::DeviceChoice;
use crate::run::Recipe;
use crate::{Run, Span, TrainError, curves, train};

/// Trains MBSD.
#[derive(Debug, Parser)]
#[command(name = "mbsd-train", bin_name = "mbsd train", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Pre-train on masked tokens and patches.
    Stage1(Session),
    /// Pre-train on queries and products, the stronger modality teaching the weaker.
    Stage2(Session),
    /// Train a head for match, classification or alignment.
    Finetune(Session),
    /// Measure a checkpoint on labelled rows, with each modality.
    Eval(evaluate::Eval),
    /// Train rows of runs that differ in a few keys, with several seeds each, and compare them.
    Ablate(ablate::Arguments),
    /// Make the query-product pairs of stage 2 from purchases.
    Pairs(Box<pairs::Arguments>),
    /// Make the pairs of products of alignment from groups of one product.
    Duplicates(duplicates::Arguments),
    /// Train a WordPiece vocabulary.
    Tokenizer(tokenizer::Arguments),
}

#[derive(Debug, Args)]
struct Session {
    /// The run file.
    #[arg(long, value_name = "RUN.TOML")]
    config: PathBuf,
    /// Change a key of the run file, such as optimizer.learning_rate=3e-4; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// What pre-training follows where the paper and the released code differ; the run file's, else the paper.
    #[arg(long, value_enum)]
    recipe: Option<Recipe>,
    /// Where to compute: cpu, cuda, cuda:0,1 with the numbers of GPUs that share each batch, or webgpu.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: DeviceChoice,
    /// Continue from the last checkpoint; starts if there is none.
    #[arg(long)]
    resume: bool,
    /// End after so many epochs; --resume goes on.
    #[arg(long, value_name = "EPOCHS")]
    stop_after: Option<usize>,
    /// End at this step, with a checkpoint; --resume goes on.
    #[arg(long, value_name = "STEP")]
    stop_at_step: Option<usize>,
}

/// Parses the arguments and runs the command: exit code 0 done, 1 failed, 2 usage.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Stage1(arguments) => run_session(&arguments, "stage1"),
        Command::Stage2(arguments) => run_session(&arguments, "stage2"),
        Command::Finetune(arguments) => run_session(&arguments, "finetune"),
        Command::Eval(arguments) => evaluate::run(&arguments),
        Command::Ablate(arguments) => ablate::run(&arguments),
        Command::Pairs(arguments) => pairs::run(&arguments),
        Command::Duplicates(arguments) => duplicates::run(&arguments),
        Command::Tokenizer(arguments) => tokenizer::run(&arguments),
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

fn run_session(arguments: &Session, command: &str) -> Result<(), TrainError> {
    let devices = arguments.device.open()?;
    let mut changes = arguments.set.clone();
    changes.extend(arguments.recipe.map(|recipe| format!("recipe={}", recipe.name())));
    let run = Run::from_file(&arguments.config, &changes)?;
    let belongs = if run.objective.is_task() { "finetune" } else { run.objective.name() };
    if belongs != command {
        let reason = format!("a run with objective `{}` is started by `mbsd train {belongs}`", run.objective);
        return Err(TrainError::run(arguments.config.display().to_string(), reason));
    }
    let span =
        Span { resume: arguments.resume, stop_after: arguments.stop_after, stop_at_step: arguments.stop_at_step };
    let state = train(&run, span, &devices)?;
    let output = run.output.display();
    if state.epoch < run.training.epochs {
        eprintln!("{output}: ended at step {} of {}; --resume goes on", state.step, state.steps);
    }
    for (what, name) in [("the best checkpoint", BEST), ("the last one", LAST), ("curves", curves::NAME)] {
        let path = run.output.join(name);
        if path.exists() {
            eprintln!("{what}: {}", path.display());
        }
    }
    Ok(())
}
