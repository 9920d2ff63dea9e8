//! Flags that several commands share.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mbsd_runtime::arguments::{ProductArgs, engine, precision};
use mbsd_runtime::engine::{CpuNodes, EngineKind, EngineOptions, SessionOptions, TensorrtOptions};
use mbsd_runtime::job::ShardFormat;
use mbsd_spec::Precision;

/// The model.
#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// Bundle folder, as written by `mbsd export`
    #[arg(long, value_name = "DIR")]
    pub(crate) bundle: PathBuf,
}

/// What computes.
#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    /// Inference engine
    #[arg(long, value_name = "ENGINE", default_value = "tract", value_parser = engine())]
    pub(crate) engine: EngineKind,
    /// Arithmetic of the graphs to use
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_parser = precision())]
    pub(crate) precision: Precision,
    /// CPU threads to use, at most 64 or one per core [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Sessions that share the threads out among themselves, for commands over products [default: what is fastest for the engine]
    #[arg(long, value_name = "N")]
    pub(crate) sessions: Option<NonZeroUsize>,
    /// ONNX Runtime library, or the folder it is in, for the ort- engines
    #[arg(long, value_name = "PATH")]
    pub(crate) onnxruntime: Option<PathBuf>,
    /// Let a GPU engine run operations on the CPU that it has no kernel for, instead of failing
    #[arg(long)]
    pub(crate) cpu_nodes: bool,
    /// Folder in which ort-tensorrt keeps what it builds, for the next start
    #[arg(long, value_name = "DIR")]
    pub(crate) engine_cache: Option<PathBuf>,
    /// Folder of calibration tables by `mbsd calibrate --method table`, with which ort-tensorrt runs f32 graphs in 8 bits
    #[arg(long, value_name = "DIR")]
    pub(crate) calibration_tables: Option<PathBuf>,
}

impl EngineArgs {
    /// How the engine is found.
    pub(crate) fn engine_options(&self) -> EngineOptions {
        EngineOptions { onnxruntime: self.onnxruntime.clone() }
    }

    /// How graphs are loaded, with `--threads` inside one operation. A command that runs several sessions at once
    /// divides the threads among them.
    pub(crate) fn session_options(&self) -> SessionOptions {
        SessionOptions {
            threads: self.threads,
            cpu_nodes: if self.cpu_nodes { CpuNodes::Allowed } else { CpuNodes::Refused },
            tensorrt: TensorrtOptions {
                engine_cache: self.engine_cache.clone(),
                timing_cache: self.engine_cache.clone(),
                fp16: self.precision == Precision::F16,
                int8: self.precision == Precision::Qdq,
                calibration_tables: self.calibration_tables.clone(),
                ..TensorrtOptions::default()
            },
            ..SessionOptions::default()
        }
    }
}

/// The products.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// Products: .parquet, .arrow, .jsonl, .csv or .tsv (text also .gz or .zst) with `id`, `title` and `image`; a folder of such files, or a
    /// pattern such as "products/*.parquet"
    #[arg(long, value_name = "FILE|DIR|PATTERN")]
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) products: ProductArgs,
}

/// The result.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Where to write: .parquet or .jsonl
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A result that may be a folder of shards.
#[derive(Debug, Args)]
pub(crate) struct ShardedOutputArgs {
    /// Where to write: a .parquet or .jsonl file, or a folder of shards that --resume can go on with
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) shards: ShardArgs,
}

/// How shards are written, and what is told of them.
#[derive(Debug, Args)]
pub(crate) struct ShardArgs {
    /// Go on with the job in the output folder, or start it where there is none
    #[arg(long)]
    pub(crate) resume: bool,
    /// Rows of the input that make a shard of an output folder
    #[arg(long, value_name = "N", default_value = "5000")]
    pub(crate) shard_rows: NonZeroU64,
    /// Format of the shards
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "parquet")]
    pub(crate) shard_format: ShardFormatName,
    /// End with an error when more rows than this have no result [default: any number may]
    #[arg(long, value_name = "N")]
    pub(crate) max_errors: Option<u64>,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The format of shards.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ShardFormatName {
    Parquet,
    Jsonl,
}

impl From<ShardFormatName> for ShardFormat {
    fn from(name: ShardFormatName) -> Self {
        match name {
            ShardFormatName::Parquet => Self::Parquet,
            ShardFormatName::Jsonl => Self::Jsonl,
        }
    }
}
