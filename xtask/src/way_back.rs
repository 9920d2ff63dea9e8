//! The graphs of `tests/way_back` through burn-onnx. It is a crate outside the workspace: its dependencies ask for other
//! features of Burn, which is compiled once more for it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::workspace::{Workspace, execute};

/// Makes the suite write the graphs that it otherwise compares.
const WRITE: &str = "MBSD_WRITE_GRAPHS";

#[derive(Debug, Args)]
pub(crate) struct WayBackArgs {
    /// Write graphs and modules anew instead of comparing them
    #[arg(long)]
    update: bool,
}

/// Imports every graph, and compares the modules with those in the repository, or replaces them.
///
/// # Errors
/// If a graph cannot be imported, or a module is another one.
pub(crate) fn run(workspace: &Workspace, args: &WayBackArgs) -> Result<()> {
    let suite = workspace.root.join("tests/way_back");
    let kept = suite.join("imported");
    let out = if args.update { kept.clone() } else { workspace.target.join("way_back/imported") };
    if args.update {
        let tests = ["test", "--workspace", "--locked", "--test", "way_back", "the_graphs"];
        execute(workspace.cargo(tests).env(WRITE, "1"))?;
    }
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", workspace.shown(&out)))?;
    }
    let target = workspace.target.join("way_back");
    let mut import = workspace.cargo(["run", "--locked", "--manifest-path"]);
    import.arg(suite.join("generate/Cargo.toml")).arg("--target-dir").arg(target).arg("--").arg(&out);
    // By their names alone: burn-onnx writes the path it was given into the module.
    let graphs = suite.join("graphs");
    execute(import.args(names(&graphs)?).current_dir(&graphs))?;
    // Weights are numbered anew each time; whether they are the same, the suite tells by what they compute.
    let is_text = |file: &Path| file.extension().is_some_and(|extension| extension == "rs");
    let differ = |(kept, fresh): (&PathBuf, PathBuf)| is_text(kept) && fs::read(kept).ok() != fs::read(fresh).ok();
    let changed = names(&kept)? != names(&out)? || files(&kept)?.iter().zip(files(&out)?).any(differ);
    if changed {
        bail!(
            "burn-onnx makes other modules of the graphs now: `cargo xtask way-back --update`, then look at the difference"
        );
    }
    println!("{} modules as in {}", names(&kept)?.len() / 2, workspace.shown(&kept));
    Ok(())
}

/// The files of a folder in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>> {
    Ok(files(folder)?.iter().filter_map(|file| file.file_name().map(Into::into)).collect())
}
