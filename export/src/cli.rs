//! The command line of `mbsd-export`.

use std::path::PathBuf;

use clap::Parser;
use mbsd_export::layout::Layout;
use mbsd_runtime::engine::EngineKind;
use mbsd_spec::{Precision, Task, Variant};

/// Compile a trained model into a bundle of ONNX graphs.
#[derive(Debug, Parser)]
#[command(name = "mbsd-export", bin_name = "mbsd export", version)]
pub(crate) struct Arguments {
    /// Checkpoint folder, or a safetensors file
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "bundle")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Write another layout of this bundle instead of compiling a checkpoint
    #[arg(long, value_name = "DIR", requires = "layout", conflicts_with_all = [
        "checkpoint", "config", "task", "variants", "precision", "shared_weights", "tokenizer", "labels", "engines",
    ])]
    pub(crate) bundle: Option<PathBuf>,
    /// Architecture, as a transformers config.json [default: config.json beside the weights]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What the weights are for: match, classify or align [default: what the weights say]
    #[arg(long)]
    pub(crate) task: Option<Task>,
    /// Graphs to export; with one-way attention also its parts: full_context, text_context, image_context, tags
    #[arg(long, value_delimiter = ',', default_value = "full,text,image")]
    pub(crate) variants: Vec<Variant>,
    /// Arithmetic of the graphs: f32, f16 or both
    #[arg(long, value_delimiter = ',', default_value = "f32")]
    pub(crate) precision: Vec<Precision>,
    /// Keep the weights of all graphs once, in onnx/weights.bin, instead of in every graph
    #[arg(long)]
    pub(crate) shared_weights: bool,
    /// vocab.txt or tokenizer.json [default: the one beside the weights; without one the bundle serves `run` and `verify` only]
    #[arg(long, value_name = "FILE")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Class names, one a line [default: labels.txt beside the weights, else 0 to C-1]
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// What to write: bundle (for mbsd), hf (as on the Hugging Face Hub) or triton (a model repository)
    #[arg(long, default_value = "bundle")]
    pub(crate) layout: Layout,
    /// With --layout triton: let TensorRT run the graphs where there is a GPU
    #[arg(long)]
    pub(crate) tensorrt: bool,
    /// The folder to write: new or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Engines to measure parity with
    #[arg(long, value_delimiter = ',', default_value = "tract,ort-cpu")]
    pub(crate) engines: Vec<EngineKind>,
    /// The ONNX Runtime library
    #[arg(long, value_name = "FILE")]
    pub(crate) onnxruntime: Option<PathBuf>,
    /// Print the manifest as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
