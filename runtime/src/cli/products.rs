//! Commands over products: `tag`, `classify`, `align`, `embed`, `eval`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use mbsd_runtime::arguments::{LabelArgs, variant};
use mbsd_spec::Variant;

use super::common::{BundleArgs, EngineArgs, InputArgs, OutputArgs, ShardedOutputArgs};

/// Arguments of `mbsd tag`.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Tags to score: .txt with one tag a line, or .json with a list
    #[arg(long, value_name = "FILE")]
    pub(crate) tags: PathBuf,
    #[command(flatten)]
    pub(crate) output: ShardedOutputArgs,
    /// Keep the K best tags of a product [default: all]
    #[arg(long, value_name = "K")]
    pub(crate) top: Option<NonZeroUsize>,
    /// Keep tags of at least this probability [default: the bundle's threshold; with --top, 0]
    #[arg(long, value_name = "P", value_parser = probability)]
    pub(crate) threshold: Option<f32>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Arguments of `mbsd classify`.
#[derive(Debug, Args)]
pub(crate) struct ClassifyArgs {
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) output: ShardedOutputArgs,
    /// Keep the K most probable classes of a product
    #[arg(long, value_name = "K", default_value = "1")]
    pub(crate) top: NonZeroUsize,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Arguments of `mbsd align`.
#[derive(Debug, Args)]
pub(crate) struct AlignArgs {
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Pairs to score: a table of product ids with columns `source` and `target`
    #[arg(long, value_name = "FILE")]
    pub(crate) pairs: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Call a pair the same from this probability on [default: the bundle's]
    #[arg(long, value_name = "P", value_parser = probability)]
    pub(crate) threshold: Option<f32>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Arguments of `mbsd embed`.
#[derive(Debug, Args)]
pub(crate) struct EmbedArgs {
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) output: ShardedOutputArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Arguments of `mbsd eval`.
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) labels: LabelArgs,
    /// Use this variant for every row [default: by what a product has]
    #[arg(long, value_parser = variant())]
    pub(crate) variant: Option<Variant>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// Print the measures as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn probability(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}
