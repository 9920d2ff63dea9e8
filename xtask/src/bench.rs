//! Comparisons that take other programs: Figure 8, and the peers in Python.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::workspace::{Workspace, execute};
use crate::{onnxruntime, python};

/// Arguments of `cargo xtask figure8`.
#[derive(Debug, Args)]
pub(crate) struct Figure8Args {
    /// Rows of a request
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    batch: Vec<NonZeroUsize>,
    /// Engines
    #[arg(long, value_delimiter = ',', default_value = "tract,ort-cpu")]
    engines: Vec<String>,
    /// Rounds
    #[arg(long, default_value = "3")]
    rounds: NonZeroUsize,
    /// Models, by their names, with semicolons between them [default: all]
    #[arg(long, value_delimiter = ';')]
    models: Vec<String>,
}

/// Builds the programs, exports every model of the figure, and measures them in turns.
pub(crate) fn figure8(workspace: &Workspace, arguments: &Figure8Args) -> Result<()> {
    say_onnxruntime(workspace);
    execute(&mut workspace.cargo(["build", "--workspace", "--bins", "--example", "figure8"]))?;
    let out = workspace.target.join("figure8");
    let joined = |values: &[NonZeroUsize]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut command = std::process::Command::new(workspace.program_path("examples/figure8"));
    command.arg("--mbsd").arg(workspace.program_path("mbsd")).arg("--out").arg(&out);
    command.args(["--batch", &joined(&arguments.batch), "--engines", &arguments.engines.join(",")]);
    command.args(["--rounds", &arguments.rounds.to_string()]).current_dir(&workspace.root);
    if !arguments.models.is_empty() {
        command.args(["--models", &arguments.models.join(";")]);
    }
    execute(&mut command)?;
    println!("{}", workspace.shown(&out.join("figure8.html")));
    Ok(())
}

/// Arguments of `cargo xtask bench-peers`.
#[derive(Debug, Args)]
pub(crate) struct PeersArgs {
    /// Bundle whose graphs are run
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// A Python that has PyTorch, to measure it too
    #[arg(long, value_name = "FILE")]
    torch_python: Option<PathBuf>,
    /// Peers to measure
    #[arg(long, value_delimiter = ',', default_value = "onnxruntime,openvino,openvino-bf16")]
    peers: Vec<String>,
    /// Engines of ours
    #[arg(long, value_delimiter = ',', default_value = "tract,ort-cpu")]
    engines: Vec<String>,
    /// Further arguments of `mbsd bench`, after `--`: sizes, threads, rounds
    #[arg(last = true, value_name = "ARGS")]
    bench: Vec<String>,
}

/// Measures a bundle's graphs through other libraries' Python APIs, in turns with our engines.
pub(crate) fn peers(workspace: &Workspace, arguments: &PeersArgs) -> Result<()> {
    say_onnxruntime(workspace);
    let interpreter = python::environment(workspace, "peers", "benches/peers/requirements-graphs.txt")?;
    execute(&mut workspace.cargo(["build", "--workspace", "--bins"]))?;
    let out = workspace.target.join("bench-peers");
    std::fs::create_dir_all(&out)?;
    let script = workspace.root.join("benches/peers/graph_peer.py");
    let mut command = std::process::Command::new(workspace.program_path("mbsd"));
    command.arg("bench").arg("--bundle").arg(&arguments.bundle).args(["--engines", &arguments.engines.join(",")]);
    let mut peers: Vec<(&str, &PathBuf)> = arguments.peers.iter().map(|name| (name.as_str(), &interpreter)).collect();
    if let Some(python) = &arguments.torch_python {
        peers.extend([("pytorch", python), ("pytorch-bf16", python)]);
    }
    for (name, python) in peers {
        let (python, script) = (python.display().to_string(), script.display().to_string());
        if python.contains(char::is_whitespace) || script.contains(char::is_whitespace) {
            bail!("the paths of Python and of the checkout may not hold blanks: {python}, {script}");
        }
        command.arg("--peer").arg(format!("{name}={python} {script}"));
    }
    command.args(&arguments.bench);
    for (flag, file) in [("--json", "peers.json"), ("--html", "peers.html")] {
        command.arg(flag).arg(out.join(file));
    }
    execute(&mut command)?;
    println!("{}", workspace.shown(&out.join("peers.html")));
    Ok(())
}

/// Fetches the library, or says that its engines will be missing.
fn say_onnxruntime(workspace: &Workspace) {
    match onnxruntime::available(workspace) {
        Ok(which) => println!("ONNX Runtime {which}"),
        Err(error) => println!("without ONNX Runtime: {error:#}"),
    }
}
