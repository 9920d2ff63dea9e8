//! The engines that this machine has.

use std::sync::Arc;

use mbsd_runtime::engine::{self, Engine, EngineKind, EngineOptions};

/// tract, and ONNX Runtime on the CPU where its library is found. What is missing is said.
pub fn available() -> Vec<Arc<dyn Engine>> {
    [EngineKind::Tract, EngineKind::OrtCpu]
        .into_iter()
        .filter_map(|kind| match engine::open(kind, &EngineOptions::default()) {
            Ok(engine) => Some(engine),
            Err(error) => {
                eprintln!("skipped: {kind} is not here ({error})");
                None
            }
        })
        .collect()
}
