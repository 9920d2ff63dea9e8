//! Commands over products: `tag`, `classify`, `align`, `embed`, `eval`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use mbsd_runtime::arguments::{LabelArgs, ProductArgs, variant};
use mbsd_spec::Variant;

use super::common::{BundleArgs, EngineArgs, InputArgs, OutputArgs, ShardArgs, ShardedOutputArgs};

/// Arguments of `mbsd tag`.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    /// Products: .parquet, .arrow, .jsonl, .csv or .tsv (text also .gz or .zst) with `id`, `title` and `image`; a folder of such files, or a
    /// pattern such as "products/*.parquet"
    #[arg(long, value_name = "FILE|DIR|PATTERN", required_unless_present = "stdio", conflicts_with = "stdio")]
    pub(crate) input: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) products: ProductArgs,
    /// Tags to score: .txt with one tag a line, or .json with a list, or with lists by the value of a column
    #[arg(long, value_name = "FILE")]
    pub(crate) tags: PathBuf,
    /// Where to write: a .parquet or .jsonl file, or a folder of shards that --resume can go on with
    #[arg(long, value_name = "FILE|DIR", required_unless_present = "stdio", conflicts_with = "stdio")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) shards: ShardArgs,
    /// Read Arrow IPC streams of products from the standard input, one after the other, and write as many with their tags to the
    /// standard output
    #[arg(long, conflicts_with_all = ["resume", "json"])]
    pub(crate) stdio: bool,
    /// Keep the K best tags of a product; with NAME=K, of those of the attribute NAME [default: all]
    #[arg(long, value_name = "K|NAME=K", value_parser = setting::<NonZeroUsize>)]
    pub(crate) top: Vec<Setting<NonZeroUsize>>,
    /// Keep the K best tags of every attribute that --top does not name
    #[arg(long, value_name = "K")]
    pub(crate) top_each: Option<NonZeroUsize>,
    /// Keep tags of at least this probability; with NAME=P, those of the attribute NAME [default: the bundle's thresholds; 0 for tags that a --top is for]
    #[arg(long, value_name = "P|NAME=P", value_parser = setting::<Probability>)]
    pub(crate) threshold: Vec<Setting<Probability>>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// A value for all tags, or for those of an attribute.
#[derive(Debug, Clone)]
pub(crate) struct Setting<T> {
    pub(crate) attribute: Option<String>,
    pub(crate) value: T,
}

fn setting<T: FromStr>(text: &str) -> Result<Setting<T>, String>
where
    T::Err: std::fmt::Display,
{
    // Names may have `=` in them; values have none.
    let (attribute, value) = match text.rsplit_once('=') {
        Some((name, value)) => (Some(name.trim().to_owned()), value),
        None => (None, text),
    };
    let value = value.trim().parse().map_err(|error: T::Err| error.to_string())?;
    Ok(Setting { attribute, value })
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probability(pub(crate) f32);

impl FromStr for Probability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        probability(text).map(Self)
    }
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
    /// Pairs to score: a table of product ids with columns `source` and `target` [default: pairs of nearest neighbours]
    #[arg(long, value_name = "FILE")]
    pub(crate) pairs: Option<PathBuf>,
    /// Without --pairs: nearest neighbours of a product that it is compared with
    #[arg(long, value_name = "K", default_value = "10", conflicts_with = "pairs")]
    pub(crate) neighbours: NonZeroUsize,
    /// Without --pairs: least cosine of the vectors of two products that are compared
    #[arg(long, value_name = "C", default_value_t = -1.0, value_parser = cosine, allow_hyphen_values = true, conflicts_with = "pairs")]
    pub(crate) min_similarity: f32,
    /// Without --pairs: where to write the groups of same products, .parquet or .jsonl
    #[arg(long, value_name = "FILE", conflicts_with = "pairs")]
    pub(crate) groups: Option<PathBuf>,
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
    /// Choose the thresholds with the highest F1, one for each attribute, and put them into the bundle
    #[arg(long)]
    pub(crate) tune_thresholds: bool,
    /// Use this variant for every row [default: by what a product has]
    #[arg(long, value_parser = variant())]
    pub(crate) variant: Option<Variant>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// Print the measures as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn cosine(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (-1.0..=1.0).contains(&value) => Ok(value),
        _ => Err("must be a number from -1 to 1".to_owned()),
    }
}

fn probability(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}
