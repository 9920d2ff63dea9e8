//! Weights on disk: safetensors under the released model's names and in its layout (PyTorch's: linear maps as
//! `[outputs, inputs]`), whatever the modules call them.

mod file;
mod load;
mod names;
mod save;

use std::path::PathBuf;

use mbsd_spec::{Architecture, Task};

pub use file::WeightsFile;
pub use load::{WeightsReport, head_in, load, load_encoder, load_network, load_network_encoder, load_pretraining};
pub use names::{NamedParameter, released_name, visit_parameters};
pub use save::{save, save_network};

/// The file looked for where a folder is given.
pub const FILE_NAME: &str = "model.safetensors";

/// Weights that cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file cannot be opened or read.
    #[error("cannot read the weights {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the weights {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file is not safetensors, or cut short.
    #[error("{} is not a complete safetensors file: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor has a shape that the configuration does not give it.
    #[error(
        "weight `{name}` has shape {found:?}, the configuration asks for {expected:?}: use the config.json that belongs to these weights"
    )]
    Shape {
        /// The tensor's name in the file.
        name: String,
        /// The shape asked for.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor's values are of a type that is no float.
    #[error("weight `{name}` holds {dtype} values, not floats")]
    Type {
        /// The tensor's name in the file.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// Tensors that the model needs are not in the file.
    #[error("{} weights are not in {}, the first is `{}`, expected with shape {:?}", missing.len(), path.display(), missing[0].0, missing[0].1)]
    Missing {
        /// The file.
        path: PathBuf,
        /// Their names and shapes, at least one.
        missing: Vec<(String, Vec<usize>)>,
    },
    /// The file is of a deeper model, which would be another without its last layers.
    #[error("{} has `{name}`, a layer more than the model: use the config.json that belongs to these weights", path.display())]
    MoreLayers {
        /// The file.
        path: PathBuf,
        /// A tensor of such a layer.
        name: String,
    },
    /// No head of a known task is in the file.
    #[error("{} holds no head: neither `classifier.weight` (match) nor `proj.weight` (classification, alignment)", path.display())]
    NoHead {
        /// The file.
        path: PathBuf,
    },
    /// Nothing of stage 1 is in the file.
    #[error("{} is no stage-1 checkpoint: it has no `bert.img_embeddings.mask_token` and no `cls.*` weights", path.display())]
    NoReconstruction {
        /// The file.
        path: PathBuf,
    },
    /// The weights are of another network.
    #[error("{} holds a model of the architecture {found}, which can be trained and measured beside MBSD; only MBSD can be used here", path.display())]
    OtherArchitecture {
        /// The file.
        path: PathBuf,
        /// The architecture in its `config.json`.
        found: Architecture,
    },
    /// The head in the file answers another task.
    #[error("{} holds a head for {found}, not for {wanted}", path.display())]
    OtherTask {
        /// The file.
        path: PathBuf,
        /// The task asked for.
        wanted: Task,
        /// The task of the head in the file.
        found: Task,
    },
}
