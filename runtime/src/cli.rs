//! The command line of `mbsd`: every command, flag and help text, and nothing that acts.

mod bench;
pub(crate) mod common;
mod look;
mod products;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

pub(crate) use bench::{BenchArgs, BenchWhat, ChooseArgs};
pub(crate) use common::{BundleArgs, EngineArgs, InputArgs, OutputArgs, ShardedOutputArgs};
pub(crate) use look::{InspectArgs, RunArgs, VerifyArgs};
pub(crate) use products::{AlignArgs, ClassifyArgs, EmbedArgs, EvalArgs, Setting, TagArgs};

/// Tags, classifies and compares products with an exported MBSD model
#[derive(Debug, Parser)]
#[command(
    name = "mbsd",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Score tags for every product
    Tag(TagArgs),
    /// Put every product into classes
    Classify(ClassifyArgs),
    /// Say which pairs of products are the same
    Align(AlignArgs),
    /// Write every product's pooled vector
    Embed(EmbedArgs),
    /// Measure a bundle on labelled products
    Eval(EvalArgs),
    /// Run one graph of a bundle on tensors from a file
    Run(RunArgs),
    /// Show what is in a bundle and what can run it here
    Inspect(InspectArgs),
    /// Check a bundle's digests, and measure again how far its graphs are from the trained model
    Verify(VerifyArgs),
    /// Compare how fast a bundle's graphs run here: engines, precisions, batches, lengths, threads
    Bench(Box<BenchArgs>),
    /// Choose the fastest engine, precision, batch and threads within a limit of latency and a floor of accuracy
    Choose(Box<ChooseArgs>),
    /// Measure one cell of `bench`, as told on standard input
    #[command(hide = true)]
    BenchWorker,
    /// Train a model (hands over to `mbsd-train`)
    #[command(disable_help_flag = true)]
    Train(HandOverArgs),
    /// Compile a checkpoint to a bundle (hands over to `mbsd-export`)
    #[command(disable_help_flag = true)]
    Export(HandOverArgs),
    /// Quantize a bundle (hands over to `mbsd-calib`)
    #[command(disable_help_flag = true)]
    Calibrate(HandOverArgs),
}

/// Arguments that another program reads.
#[derive(Debug, clap::Args)]
pub(crate) struct HandOverArgs {
    /// Passed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub(crate) args: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help() {
        let mut cli = Cli::command().term_width(100);
        let mut text = cli.render_long_help().to_string();
        for name in ["tag", "classify", "align", "embed", "eval", "run", "inspect", "verify", "bench", "choose"] {
            let command = cli.find_subcommand_mut(name).unwrap();
            let usage = format!("mbsd {name}");
            let mut command = command.clone().bin_name(usage).term_width(100);
            text.push_str(&format!("\n# mbsd {name}\n\n{}", command.render_long_help()));
        }
        insta::assert_snapshot!(text);
    }
}
