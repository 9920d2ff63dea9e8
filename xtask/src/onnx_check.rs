//! Exported graphs under onnx's own checker and shape inference, which are Python: a virtual environment in the build
//! folder holds the pinned packages.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace::{Workspace, execute, output};

/// Where the suites leave their graphs: they look for this variable.
pub(crate) const KEEP: &str = "MBSD_KEEP_GRAPHS";

/// The folder for the suites' graphs, made anew.
///
/// # Errors
/// If it cannot be made.
pub(crate) fn empty_folder(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("graphs");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", workspace.shown(&folder)))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", workspace.shown(&folder)))?;
    Ok(folder)
}

/// A Python that has the pinned packages, made on first use.
///
/// # Errors
/// If there is no Python, or pip cannot get the packages.
pub(crate) fn python(workspace: &Workspace) -> Result<PathBuf> {
    let requirements = workspace.root.join("tests/onnx/requirements.txt");
    let pinned = fs::read_to_string(&requirements).context("cannot read tests/onnx/requirements.txt")?;
    let folder = workspace.target.join("onnx-checker");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let marker = folder.join("requirements.txt");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == pinned) {
        return Ok(python);
    }
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"])
        .args(["--only-binary=:all:", "--retries", "1", "--timeout", "20", "--requirement"])
        .arg(&requirements);
    output(&mut pip)?;
    fs::write(&marker, pinned).context("cannot note what was installed")?;
    Ok(python)
}

/// Checks every graph below a folder.
///
/// # Errors
/// If one fails; the script's lines say why.
pub(crate) fn run(workspace: &Workspace, python: &PathBuf, folder: &PathBuf) -> Result<()> {
    execute(Command::new(python).arg(workspace.root.join("tests/onnx/check.py")).arg(folder))
}
