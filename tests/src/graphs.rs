//! Graphs of the suites, kept for checkers outside.

use std::path::Path;

/// Copies a graph into the folder that `MBSD_KEEP_GRAPHS` names, under a file name made of `name`; does nothing where the
/// variable is not set.
///
/// # Panics
/// If the folder cannot be written to.
pub fn keep(graph: &Path, name: &str) {
    let Some(folder) = std::env::var_os("MBSD_KEEP_GRAPHS").filter(|folder| !folder.is_empty()) else { return };
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    std::fs::copy(graph, Path::new(&folder).join(format!("{plain}.onnx"))).expect("a writable folder for graphs");
}
