//! `cargo xtask test`: everything CI checks, what fails fast first.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::demo::{self, DemoArgs};
use crate::onnx_check;
use crate::onnxruntime;
use crate::python;
use crate::workspace::{Workspace, execute, output, time};

/// Runs every check and stops at the first that fails.
///
/// # Errors
/// Names the failed check.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let begin = Instant::now();
    let mut skipped = Vec::new();

    step("formatting", || run_cargo(workspace, &["fmt", "--all", "--check"]))?;
    step("the runtime depends on no Burn", || no_burn(workspace))?;
    // Lints and documentation need the dependencies' metadata only, and the same of both.
    step("lints", || {
        run_cargo(workspace, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
    })?;
    step("documentation", || {
        execute(workspace.cargo(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings"))
    })?;

    let library = step("ONNX Runtime library", || match onnxruntime::available(workspace) {
        Ok(library) => {
            println!("{library}");
            Ok(true)
        }
        Err(error) => {
            println!("{error:#}");
            Ok(false)
        }
    })?;
    if !library {
        skipped.push("tests through ONNX Runtime: there is no library");
    }
    let python = step("Python packages", || match python::ensure(workspace) {
        Ok(interpreter) => {
            println!("{}", workspace.shown(&interpreter));
            Ok(true)
        }
        Err(error) => {
            println!("{error:#}");
            Ok(false)
        }
    })?;
    if !python {
        skipped.push("the clients in Python and the Hub and Triton layouts through them: there are no packages");
    }
    if std::env::var_os("MBSD_DATA").is_none() {
        skipped.push("tests over real data: MBSD_DATA does not name the data folder");
    }

    // The suites run the programs, so these must be as fresh as the tests.
    step("programs", || run_cargo(workspace, &["build", "--workspace", "--bins", "--locked"]))?;
    step("the demo, quickly", || demo::run(workspace, &DemoArgs::QUICK))?;
    let graphs = onnx_check::empty_folder(workspace)?;
    step("tests", || {
        let mut tests = workspace.cargo(["test", "--workspace", "--locked", "--no-fail-fast"]);
        execute(tests.env(onnx_check::KEEP, &graphs))
    })?;
    step("examples", || {
        for example in ["convolutional_net", "decoder_block"] {
            let mut run =
                workspace.cargo(["run", "--quiet", "--package", "mbsd-export", "--locked", "--example", example, "--"]);
            execute(run.arg(graphs.join(format!("{example}.onnx"))))?;
        }
        Ok(())
    })?;
    step("graphs under onnx's checker", || match onnx_check::python(workspace) {
        Ok(python) => onnx_check::run(workspace, &python, &graphs),
        Err(error) => {
            println!("{error:#}");
            skipped.push("onnx's checker: pip cannot get the packages of tests/onnx/requirements.txt");
            Ok(())
        }
    })?;

    // Needs neither a GPU nor CUDA. Burn with other features lies beside that of the default build.
    step("training on GPUs type-checks", || {
        let features = "cuda,webgpu";
        let gpus =
            ["clippy", "--package", "mbsd-train", "--lib", "--features", features, "--locked", "--", "-D", "warnings"];
        run_cargo(workspace, &gpus)
    })?;

    for what in &skipped {
        println!("skipped: {what}");
    }
    println!("all checks passed in {}", time(begin.elapsed()));
    Ok(())
}

fn step<T>(name: &str, check: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let begin = Instant::now();
    let result = check().with_context(|| format!("check `{name}` failed"))?;
    println!("== {name}: passed in {}", time(begin.elapsed()));
    Ok(result)
}

fn run_cargo(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    execute(&mut workspace.cargo(arguments))
}

/// What runs on serving machines must stay free of the training framework.
fn no_burn(workspace: &Workspace) -> Result<()> {
    for package in ["mbsd-runtime", "mbsd-calib"] {
        let mut tree: Command = workspace.cargo(["tree", "--locked", "--package", package, "--edges", "normal"]);
        let tree = output(tree.args(["--prefix", "none", "--format", "{p}"]))?;
        if let Some(line) = burn_in(&tree) {
            bail!("{package} depends on {line}; find out why with `cargo tree -p {package} -e normal`");
        }
    }
    Ok(())
}

/// The first package of a dependency tree that belongs to Burn.
fn burn_in(tree: &str) -> Option<&str> {
    tree.lines().find(|line| {
        let name = line.split_whitespace().next().unwrap_or_default();
        name == "burn" || name.starts_with("burn-")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burn_is_found_in_a_dependency_tree() {
        assert_eq!(burn_in("mbsd-runtime v0.1.0\nburnish v1.0.0\nort v2.0.0"), None);
        assert_eq!(burn_in("mbsd-runtime v0.1.0\nburn-ir v0.22.1"), Some("burn-ir v0.22.1"));
        assert_eq!(burn_in("mbsd-runtime v0.1.0\nburn v0.22.1 (*)"), Some("burn v0.22.1 (*)"));
    }
}
