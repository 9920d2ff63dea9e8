//! A Python of the project's own, with the packages that `tests/python` needs, in `target/python`.
//!
//! They come from PyPI through pip, into a virtual environment: nothing is installed on the machine. Tests take it where it is
//! there, and say that they were skipped where it is not.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::workspace::{Workspace, output};

/// Beside the environment: the requirements that were installed into it, written last.
const MARKER: &str = "requirements.txt";

/// The interpreter, with every package of `tests/python/requirements.txt`; made if it is not there or has others.
///
/// # Errors
/// If there is no Python with venv, or pip does not get the packages.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    environment(workspace, "python", "tests/python/requirements.txt")
}

/// The interpreter of the environment `target/<name>`, with every package of a requirements file of the checkout; made if it is
/// not there or has others.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn environment(workspace: &Workspace, name: &str, requirements: &str) -> Result<PathBuf> {
    let wanted = workspace.root.join(requirements);
    let requirements = fs::read(&wanted).with_context(|| format!("cannot read {}", workspace.shown(&wanted)))?;
    let folder = workspace.target.join(name);
    let interpreter = folder.join("bin/python");
    if fs::read(folder.join(MARKER)).is_ok_and(|installed| installed == requirements) && interpreter.exists() {
        return Ok(interpreter);
    }
    if cfg!(windows) {
        bail!("Python environments are made on Linux and macOS only");
    }
    let _ = fs::remove_dir_all(&folder);
    output(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    output(
        Command::new(&interpreter)
            .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"])
            .args(["--only-binary=:all:", "--retries", "1", "--timeout", "20", "--requirement"])
            .arg(&wanted),
    )?;
    fs::write(folder.join(MARKER), requirements).with_context(|| format!("cannot write {}", folder.display()))?;
    Ok(interpreter)
}
