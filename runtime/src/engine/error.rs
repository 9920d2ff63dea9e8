//! What can go wrong between a graph file and its outputs.

use std::path::PathBuf;

use super::{EngineKind, Source};

/// An engine, a graph or a run that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The engine cannot be had on this machine.
    #[error("engine `{engine}` is not available")]
    Unavailable {
        /// Asked for.
        engine: EngineKind,
        /// What is missing.
        source: Source,
    },
    /// The file is not a graph that the engine runs.
    #[error("engine `{engine}` cannot load {}", path.display())]
    Graph {
        /// Which engine.
        engine: EngineKind,
        /// The graph file.
        path: PathBuf,
        /// Why.
        source: Source,
    },
    /// The given tensors do not fit the graph's inputs.
    #[error("{reason}; the graph takes {expected}")]
    Inputs {
        /// What does not fit.
        reason: String,
        /// The graph's inputs with types and shapes.
        expected: String,
    },
    /// The engine failed while computing.
    #[error("engine `{engine}` failed on {graph}")]
    Run {
        /// Which engine.
        engine: EngineKind,
        /// The graph's file name.
        graph: String,
        /// Why.
        source: Source,
    },
}

impl EngineError {
    pub(crate) fn unavailable(engine: EngineKind, source: impl Into<Source>) -> Self {
        Self::Unavailable { engine, source: source.into() }
    }
}

/// An error and its causes in one line, without repetition.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
