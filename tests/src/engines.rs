//! The engines that this machine has.

use std::path::PathBuf;
use std::sync::Arc;

use mbsd_runtime::engine::{self, Engine, EngineKind, EngineOptions};

/// tract, and ONNX Runtime on the CPU where its library is found. What is missing is said.
pub fn available() -> Vec<Arc<dyn Engine>> {
    [EngineKind::Tract, EngineKind::OrtCpu]
        .into_iter()
        .filter_map(|kind| match engine::open(kind, &EngineOptions { onnxruntime: library(), ..Default::default() }) {
            Ok(engine) => Some(engine),
            Err(error) => {
                eprintln!("skipped: {kind} is not here ({error})");
                None
            }
        })
        .collect()
}

/// The ONNX Runtime library that `cargo xtask onnxruntime` put beside the build, unless `ORT_DYLIB_PATH` names one.
pub fn library() -> Option<PathBuf> {
    if std::env::var_os("ORT_DYLIB_PATH").is_some() {
        return None;
    }
    let target = std::env::current_exe().ok()?.ancestors().nth(3)?.to_owned();
    let entries = std::fs::read_dir(target.join("onnxruntime")).ok()?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("onnxruntime.so")))
}
