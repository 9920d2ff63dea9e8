//! The seam between jobs and inference engines.
//!
//! [`open`] gives an [`Engine`]; [`Engine::load`] turns the graph of a bundle into a [`Session`], which takes
//! and returns named tensors. Two engines are there: tract, compiled in, and ONNX Runtime, a library found at run
//! time, on the CPU or through its CUDA or TensorRT provider. An engine that cannot be had is an error that says
//! what is missing; none stands in for another.

mod check;
mod error;
mod guard;
mod library;
mod options;
mod ort;
mod placement;
mod profiles;
mod tract;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use mbsd_spec::NamedTensors;
use mbsd_spec::bundle::TensorSpec;

pub use check::shape_text;
pub use error::{EngineError, causes};
pub use library::{Origin, RuntimeLibrary};
pub use options::{ArenaExtend, CpuNodes, CudaOptions, EngineOptions, SessionOptions, TensorrtOptions};
pub use profiles::{Extent, ProfileError, ShapeProfiles, SymbolExtents, TokenBuckets};

/// An inference engine, by the name it has on the command line and in manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EngineKind {
    /// tract: pure Rust, compiled in, CPU.
    Tract,
    /// ONNX Runtime on the CPU.
    OrtCpu,
    /// ONNX Runtime with its CUDA provider.
    OrtCuda,
    /// ONNX Runtime with its TensorRT provider; what TensorRT does not take runs on CUDA.
    OrtTensorrt,
}

impl EngineKind {
    /// Every engine, in the order in which reports list them.
    pub const ALL: &'static [Self] = &[Self::Tract, Self::OrtCpu, Self::OrtCuda, Self::OrtTensorrt];

    /// The name in files, on the command line and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tract => "tract",
            Self::OrtCpu => "ort-cpu",
            Self::OrtCuda => "ort-cuda",
            Self::OrtTensorrt => "ort-tensorrt",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no engine has.
#[derive(Debug, thiserror::Error)]
#[error("unknown engine `{given}`: use one of tract, ort-cpu, ort-cuda, ort-tensorrt")]
pub struct UnknownEngine {
    given: String,
}

impl FromStr for EngineKind {
    type Err = UnknownEngine;

    fn from_str(given: &str) -> Result<Self, UnknownEngine> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.name() == given)
            .ok_or_else(|| UnknownEngine { given: given.to_owned() })
    }
}

/// Loads graphs. One per process and kind is enough; it is shared between threads.
pub trait Engine: Send + Sync {
    /// Which engine this is.
    fn kind(&self) -> EngineKind;

    /// The version of the library that computes, such as `0.23.9`.
    fn version(&self) -> String;

    /// The shared library that was taken, for an engine that lives in one.
    fn library(&self) -> Option<&RuntimeLibrary> {
        None
    }

    /// Reads and optimises an ONNX graph.
    ///
    /// # Errors
    /// [`EngineError::Graph`] where the file is not a graph that this engine runs.
    fn load(&self, graph: &Path, options: &SessionOptions) -> Result<Box<dyn Session>, EngineError>;
}

/// A loaded graph that one worker runs.
pub trait Session: Send {
    /// Computes every output of the graph.
    ///
    /// Float and integer tensors come in and go out as they are; a graph's bool, int32 and uint8 inputs are taken
    /// from integer tensors whose values fit, and outputs of other types are widened to float32 or int64.
    ///
    /// # Errors
    /// [`EngineError::Inputs`] before the engine sees anything, where a name, a type or a shape does not fit the graph
    /// or a symbol such as `batch` has two values; [`EngineError::Run`] where the engine fails.
    fn run(&mut self, inputs: &NamedTensors) -> Result<NamedTensors, EngineError>;

    /// The inputs, in graph order.
    fn inputs(&self) -> &[TensorSpec];

    /// The outputs, in graph order.
    fn outputs(&self) -> &[TensorSpec];

    /// How many operations of the loaded graph run where: by ONNX Runtime's execution providers, or `tract`. Empty where it was
    /// not recorded ([`SessionOptions::record_placement`]).
    fn placement(&self) -> BTreeMap<String, usize> {
        BTreeMap::new()
    }

    /// Another session over the same graph, for another worker.
    ///
    /// tract shares the optimised plan and its weights. ONNX Runtime reads the file again and holds the weights
    /// again: use few workers with several threads each there.
    ///
    /// # Errors
    /// As [`Engine::load`].
    fn fork(&self) -> Result<Box<dyn Session>, EngineError>;
}

/// Makes an engine ready.
///
/// # Errors
/// [`EngineError::Unavailable`] says which library is missing or unfit.
pub fn open(kind: EngineKind, options: &EngineOptions) -> Result<Arc<dyn Engine>, EngineError> {
    Ok(match kind {
        EngineKind::Tract => Arc::new(tract::TractEngine),
        EngineKind::OrtCpu | EngineKind::OrtCuda | EngineKind::OrtTensorrt => {
            Arc::new(ort::OrtEngine::open(kind, options)?)
        }
    })
}

/// Finds, checks and loads the ONNX Runtime library that the `ort-` engines of this process use.
///
/// # Errors
/// [`EngineError::Unavailable`] as for [`open`].
pub fn onnxruntime(options: &EngineOptions) -> Result<RuntimeLibrary, EngineError> {
    library::load(options.onnxruntime.as_deref()).map_err(|source| EngineError::unavailable(EngineKind::OrtCpu, source))
}

/// The shapes of the tensors between a graph's nodes, as tract infers them from the inputs' symbols. Tensors of which
/// it cannot tell the shape are left out.
///
/// # Errors
/// [`EngineError::Graph`] where the file is not a graph that tract reads.
pub fn inferred_shapes(graph: &Path) -> Result<Vec<TensorSpec>, EngineError> {
    tract::shapes(graph)
}

/// A boxed error of a library below.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for &kind in EngineKind::ALL {
            assert_eq!(kind.to_string().parse::<EngineKind>().unwrap(), kind);
        }
        assert_eq!(
            "cuda".parse::<EngineKind>().unwrap_err().to_string(),
            "unknown engine `cuda`: use one of tract, ort-cpu, ort-cuda, ort-tensorrt"
        );
    }
}
