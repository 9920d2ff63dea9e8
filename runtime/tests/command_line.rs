//! The program `mbsd` as a user meets it: exit status, messages, files.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use common::{bundle, onnxruntime};
use mbsd_runtime::tensors;
use mbsd_spec::{NamedTensors, Tensor};
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

fn mbsd() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mbsd"))
}

/// A folder with a bundle and a file of inputs and expectations.
struct Case {
    folder: TempDir,
    bundle: PathBuf,
    inputs: PathBuf,
}

impl Case {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let bundle = bundle(folder.path());
        let inputs = folder.path().join("in.safetensors");
        let floats = |shape: &[usize], data: &[f32]| Tensor::f32(shape, data.to_vec()).unwrap();
        let given = NamedTensors::from([
            ("src_features".to_owned(), floats(&[2, 3], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0])),
            ("full.logits".to_owned(), floats(&[2, 2], &[1.5, 1.5, 3.5, 3.5625])),
            ("labels".to_owned(), floats(&[2], &[0.0, 1.0])),
        ]);
        tensors::write(&inputs, &given).unwrap();
        Self { folder, bundle, inputs }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, more: &[&str]) -> Command {
        let mut command = mbsd();
        command.arg("run").arg("--bundle").arg(&self.bundle).arg("--inputs").arg(&self.inputs).args(more);
        command
    }
}

#[test]
fn wrong_usage_exits_2_and_help_0() {
    mbsd().assert().code(2);
    mbsd().arg("rum").assert().code(2).stderr(contains("unrecognized subcommand"));
    mbsd()
        .args(["run", "--bundle", "b", "--inputs", "i", "--check", "--engine", "cuda"])
        .assert()
        .code(2)
        .stderr(contains("invalid value 'cuda'").and(contains("tract, ort-cpu, ort-cuda, ort-tensorrt")));
    mbsd().arg("--help").assert().code(0).stdout(contains("Score tags for every product"));
    mbsd().arg("--version").assert().code(0).stdout(contains("mbsd"));
}

#[test]
fn run_writes_outputs_and_leaves_unknown_tensors_aside() {
    let case = Case::new();
    let out = case.path("out.safetensors");
    case.run(&["--prefix", "src_", "--outputs"])
        .arg(&out)
        .assert()
        .success()
        .stderr(contains("1 tensors that the graph does not know are left aside: labels"));
    let outputs = tensors::read(&out).unwrap();
    assert_eq!(outputs.keys().collect::<Vec<_>>(), ["logits"]);
    assert_eq!(outputs["logits"], Tensor::f32([2, 2], vec![1.5, 1.5, 3.5, 3.5]).unwrap());
}

#[test]
fn run_check_compares_and_fails_over_the_tolerance() {
    let case = Case::new();
    let check = ["--prefix", "src_", "--check", "--tolerance"];
    case.run(&[&check[..], &["0.1"]].concat())
        .assert()
        .success()
        .stdout(contains("logits float32 [2, 2]: max difference 6.250e-2, mean 1.562e-2"));
    case.run(&[&check[..], &["0.01"]].concat())
        .assert()
        .code(1)
        .stderr(contains("output `logits` differs by 6.250e-2, more than the tolerance 1.000e-2"));
    let json = case.run(&[&check[..], &["0.1", "--json"]].concat()).assert().success();
    let report: serde_json::Value = serde_json::from_slice(&json.get_output().stdout).unwrap();
    assert_eq!(report["engine"], "tract");
    assert_eq!(report["outputs"][0]["max_abs_diff"], 0.0625);
}

#[test]
fn run_check_without_expectation_fails() {
    let case = Case::new();
    let features = Tensor::f32([1, 3], vec![0.0; 3]).unwrap();
    tensors::write(&case.inputs, &NamedTensors::from([("features".to_owned(), features)])).unwrap();
    case.run(&["--check"]).assert().code(1).stderr(contains("nothing to compare with"));
}

#[test]
fn run_names_what_the_graph_takes() {
    let case = Case::new();
    case.run(&["--check"])
        .assert()
        .code(1)
        .stderr(contains("error: input `features` is missing; the graph takes `features` float32 [batch, 3]"));
    case.run(&["--check", "--variant", "image"])
        .assert()
        .code(1)
        .stderr(contains("the bundle has no f32 image graph; it has: f32 full, f32 text"));
}

#[test]
fn both_engines_give_the_same() {
    if !onnxruntime("both_engines_give_the_same") {
        return;
    }
    let case = Case::new();
    for engine in ["tract", "ort-cpu"] {
        case.run(&["--prefix", "src_", "--check", "--tolerance", "0.1", "--engine", engine, "--threads", "1"])
            .assert()
            .success()
            .stdout(contains(engine));
    }
}

#[test]
fn a_tampered_bundle_is_refused_before_any_session() {
    let case = Case::new();
    let graph = case.bundle.join("onnx/full.onnx");
    let mut bytes = fs::read(&graph).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&graph, bytes).unwrap();
    for command in ["run", "inspect"] {
        let mut mbsd = mbsd();
        mbsd.arg(command).arg("--bundle").arg(&case.bundle);
        if command == "run" {
            mbsd.arg("--check").arg("--inputs").arg(&case.inputs);
        }
        mbsd.assert().code(1).stderr(contains("SHA-256").and(contains("full.onnx")));
    }
}

/// A shared library that is not ONNX Runtime: the C library of this very process.
fn foreign_library() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps.lines().filter_map(|line| line.split_whitespace().last()).find(|path| path.contains("/libc.so"))?;
    Some(PathBuf::from(path))
}

#[test]
fn a_wrong_onnxruntime_library_is_a_clear_error() {
    let case = Case::new();
    let text = case.path("libonnxruntime.so");
    fs::write(&text, "not a library").unwrap();
    let mut libraries = vec![
        (text.clone(), "is not a library that can be loaded"),
        (case.path("absent.so"), "does not exist or holds none"),
        (case.path("."), "is not a library that can be loaded"),
        (case.bundle.clone(), "does not exist or holds none"),
    ];
    match foreign_library() {
        Some(path) => libraries.push((path, "is not ONNX Runtime: it has no OrtGetApiBase")),
        None => eprintln!("SKIPPED the case of a foreign library: no libc found in /proc/self/maps"),
    }
    for (library, message) in libraries {
        let refused = |command: &mut Command| {
            command
                .assert()
                .code(1)
                .stderr(contains("error: engine `ort-cpu` is not available").and(contains(message)))
                .stderr(contains("panicked").not());
        };
        let arguments = ["--prefix", "src_", "--check", "--engine", "ort-cpu"];
        refused(case.run(&arguments).arg("--onnxruntime").arg(&library));
        refused(case.run(&arguments).env("ORT_DYLIB_PATH", &library));
    }
}

#[test]
fn ort_cuda_without_a_library_names_it() {
    let case = Case::new();
    for engine in ["ort-cpu", "ort-cuda", "ort-tensorrt"] {
        case.run(&["--check", "--engine", engine, "--onnxruntime", "/no/such/libonnxruntime.so"])
            .assert()
            .code(1)
            .stderr(
                contains(format!("engine `{engine}` is not available")).and(contains("/no/such/libonnxruntime.so")),
            );
    }
}

#[test]
fn a_gpu_engine_never_falls_back_to_the_cpu() {
    if !onnxruntime("a_gpu_engine_never_falls_back_to_the_cpu") {
        return;
    }
    if Path::new("/dev/nvidiactl").exists() {
        eprintln!("SKIPPED a_gpu_engine_never_falls_back_to_the_cpu: this machine has a GPU");
        return;
    }
    let case = Case::new();
    for (engine, file) in
        [("ort-cuda", "libonnxruntime_providers_cuda.so"), ("ort-tensorrt", "libonnxruntime_providers_tensorrt.so")]
    {
        case.run(&["--prefix", "src_", "--check", "--tolerance", "1", "--engine", engine])
            .assert()
            .code(1)
            .stdout("")
            .stderr(contains(format!("engine `{engine}` is not available")).and(contains(file)));
    }
}

#[test]
fn inspect_tells_the_bundle_and_the_engines() {
    let case = Case::new();
    let inspect = |more: &[&str]| {
        let mut command = mbsd();
        command.arg("inspect").arg("--bundle").arg(&case.bundle).args(more);
        command.assert().success().get_output().stdout.clone()
    };
    let text = String::from_utf8(inspect(&["--onnxruntime", "/no/such.so"])).unwrap();
    let text = text.replace(&case.bundle.display().to_string(), "BUNDLE");
    insta::assert_snapshot!("inspect", text);
    let json: serde_json::Value = serde_json::from_slice(&inspect(&["--json"])).unwrap();
    assert_eq!(json["manifest"]["task"], "match");
    assert_eq!(json["engines"][0]["engine"], "tract");
    assert_eq!(json["engines"][0]["available"], true);
    if onnxruntime("inspect_tells_the_bundle_and_the_engines, which library was taken") {
        assert!(json["engines"][1]["library"].as_str().unwrap().contains("onnxruntime"));
        assert!(json["engines"][1]["version"].as_str().unwrap().starts_with("1."));
    }
    let graph = String::from_utf8(inspect(&["--graph", "text"])).unwrap();
    assert!(graph.contains("select = Where(attention_mask [batch, text], input_ids [batch, text]"), "{graph}");
    let graph: serde_json::Value = serde_json::from_slice(&inspect(&["--graph", "full", "--json"])).unwrap();
    assert_eq!(graph["nodes"][0]["name"], "head.product");
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let case = Case::new();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_mbsd"))
        .arg("inspect")
        .arg("--bundle")
        .arg(&case.bundle)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[cfg(unix)]
#[test]
fn another_program_is_handed_the_arguments_and_its_status_is_passed_on() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().unwrap();
    let program = folder.path().join("mbsd-calib");
    fs::write(&program, "#!/bin/sh\necho \"got: $*\"\nexit 7\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // A copy of the program, so that nothing but the script lies beside it or on the path.
    let own = folder.path().join("bin/mbsd");
    fs::create_dir(own.parent().unwrap()).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_mbsd"), &own).unwrap();
    let start = |path: &Path| {
        let mut command = Command::new(&own);
        command.env("PATH", std::env::join_paths([path, Path::new("/bin"), Path::new("/usr/bin")]).unwrap());
        command
    };
    start(folder.path())
        .args(["calibrate", "--bundle", "b", "--help", "--", "-x"])
        .assert()
        .code(7)
        .stdout(contains("got: --bundle b --help -- -x"));
    let empty = folder.path().join("empty");
    start(&empty)
        .args(["calibrate", "--bundle", "b"])
        .assert()
        .code(1)
        .stderr(contains("`mbsd calibrate` needs the program `mbsd-calib`").and(contains("PATH")));
    fs::rename(&program, folder.path().join("bin/mbsd-train")).unwrap();
    start(&empty).args(["train", "--help"]).assert().code(7).stdout(contains("got: --help"));
}
