//! `mbsd verify`: digests, and agreement with the trained model on rows that the bundle carries.

use std::fs;
use std::path::{Path, PathBuf};

use mbsd_net::Head;
use mbsd_runtime::parity::Reference;
use mbsd_spec::Tensor;
use mbsd_spec::bundle::sha256_file;
use mbsd_tests::binaries::{program, run, succeed};
use mbsd_tests::{bundles, engines};
use serde_json::Value;

/// A bundle in both precisions, its weights beside its graphs.
struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new(extra: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        bundles::checkpoint(Head::Alignment, 4.0, folder.path());
        let case = Self { folder };
        let mut export = program("mbsd-export");
        export.arg("--checkpoint").arg(case.folder.path()).args(["--precision", "f32,f16"]).args(extra);
        succeed(export.arg("--out").arg(case.bundle()));
        case
    }

    fn bundle(&self) -> PathBuf {
        self.folder.path().join("bundle")
    }

    fn verify(&self, extra: &[&str]) -> (i32, String, String) {
        run(program("mbsd").arg("verify").arg("--bundle").arg(self.bundle()).args(extra))
    }

    fn json(&self, extra: &[&str]) -> (i32, Value) {
        let (code, stdout, stderr) = self.verify(&[&["--json"], extra].concat());
        (code, serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}")))
    }

    /// Changes a file and vouches for the change, as whoever makes a bundle can.
    fn forge(&self, name: &str, change: impl FnOnce(&Path)) {
        let path = self.bundle().join(name);
        change(&path);
        let digest = path.exists().then(|| sha256_file(&path).unwrap());
        self.manifest(|manifest| match digest {
            Some(digest) => manifest["files"][name] = digest.into(),
            None => drop(manifest["files"].as_object_mut().unwrap().remove(name)),
        });
    }

    fn manifest(&self, edit: impl FnOnce(&mut Value)) {
        let path = self.bundle().join("manifest.json");
        let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut manifest);
        fs::write(path, manifest.to_string()).unwrap();
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_bundle_as_exported_agrees_with_every_engine_here() {
    let case = Case::new(&[]);
    let (code, report) = case.json(&[]);
    assert_eq!((code, &report["ok"]), (0, &Value::Bool(true)), "{report:#}");
    let checks = report["checks"].as_array().unwrap();
    let engines = engines::available();
    assert_eq!(checks.len(), 8 * engines.len(), "full, text, image and pair in two precisions");
    for check in checks {
        assert_eq!(check["outcome"], "agrees", "{check}");
        let [max, limit] = ["max_abs_diff", "tolerance"].map(|name| check[name].as_f64().unwrap());
        // The pair graph is nothing but the map in front of an output, which stays in single precision.
        let half = check["precision"] == "f16" && check["variant"] != "pair";
        assert!(max <= limit && limit == if check["precision"] == "f16" { 1e-2 } else { 1e-4 }, "{check}");
        assert!(!half || max > 1e-6, "a half-precision graph that is exact is none: {check}");
        assert_eq!((&check["rows"], &check["recorded"]["rows"]), (&3.into(), &3.into()), "{check}");
    }
    let (code, text, _) = case.verify(&["--engines", "tract"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("all digests right") && text.contains("8 measured, 0 not measured, 0 failed"), "{text}");
    assert!(text.contains("pair  f16  tract   ok: max difference "), "{text}");
}

#[test]
fn a_changed_file_ends_it_before_anything_is_measured() {
    for name in ["onnx/full_fp16.onnx", "onnx/weights.bin", "reference/text.safetensors"] {
        let case = Case::new(&["--shared-weights", "--engines", "tract"]);
        flip(&case.bundle().join(name));
        let (code, stdout, stderr) = case.verify(&[]);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains(name) && stderr.contains("SHA-256 is"), "{stderr}");
        fs::remove_file(case.bundle().join(name)).unwrap();
        let (code, _, stderr) = case.verify(&[]);
        assert!(code == 1 && stderr.contains(name), "{stderr}");
    }
}

#[test]
fn a_graph_that_does_something_else_fails() {
    let case = Case::new(&["--engines", "tract"]);
    case.forge("reference/text.safetensors", |path| {
        let mut reference = Reference::read(path).unwrap();
        let Some(Tensor::F32 { data, .. }) = reference.outputs.get_mut("pooled") else { panic!() };
        data[3] += 0.005;
        reference.write(path).unwrap();
    });
    let (code, report) = case.json(&["--engines", "tract"]);
    assert_eq!((code, &report["ok"]), (1, &Value::Bool(false)));
    let outcome = |variant: &str, precision: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|c| c["variant"] == variant && c["precision"] == precision).unwrap()["outcome"].clone()
    };
    assert_eq!(outcome("text", "f32"), "differs");
    assert_eq!(outcome("text", "f16"), "agrees", "half precision has more room");
    assert_eq!(outcome("full", "f32"), "agrees");
    let (code, text, _) = case.verify(&["--engines", "tract"]);
    assert!(code == 1 && text.contains("text  f32  tract   FAILED: max difference 5.0") && text.contains(", 1 failed"));

    case.forge("onnx/pair.onnx", |path| fs::write(path, "not a graph").unwrap());
    let (code, text, _) = case.verify(&["--engines", "tract"]);
    assert!(code == 1 && text.contains("pair  f32  tract   FAILED: engine `tract` cannot load"), "{text}");
}

#[test]
fn what_cannot_be_measured_is_said_and_is_no_failure() {
    let case = Case::new(&["--engines", "tract"]);
    for variant in ["full", "text", "image", "pair"] {
        case.forge(&format!("reference/{variant}.safetensors"), |path| fs::remove_file(path).unwrap());
    }
    let (code, text, _) = case.verify(&["--engines", "tract"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("not measured: the bundle has no reference rows for this graph"), "{text}");
    assert!(text.contains("0 measured, 8 not measured, 0 failed"), "{text}");
    assert!(text.contains("at export"), "what the manifest has is shown all the same: {text}");
}

#[test]
fn reference_rows_that_are_none_are_a_clear_error() {
    let case = Case::new(&["--engines", "tract"]);
    case.forge("reference/full.safetensors", |path| fs::write(path, "rows").unwrap());
    let (code, _, stderr) = case.verify(&["--engines", "tract"]);
    assert!(code == 1 && stderr.contains("full.safetensors is not a complete safetensors file"), "{stderr}");
}

#[test]
fn an_engine_that_is_asked_for_has_to_be_there() {
    let case = Case::new(&["--engines", "tract"]);
    let (code, stdout, stderr) = case.verify(&["--engines", "tract,ort-cpu", "--onnxruntime", "/no/such.so"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("engine `ort-cpu` is not available") && stderr.contains("/no/such.so"), "{stderr}");
    let (code, _, stderr) = case.verify(&["--engines", "onnx"]);
    assert!(code == 2 && stderr.contains("invalid value 'onnx'"), "{stderr}");
}

/// An 8-bit graph has no tolerance of its own: it is held to twice what was recorded of it.
#[test]
fn an_8_bit_graph_is_held_to_what_was_recorded() {
    let case = Case::new(&["--engines", "tract"]);
    let relabel = |recorded: f64| {
        case.manifest(|manifest| {
            let artifacts = manifest["artifacts"].as_array_mut().unwrap();
            let half = artifacts.iter_mut().find(|a| a["path"] == "onnx/text_fp16.onnx").unwrap();
            half["precision"] = "int8".into();
            half["parity"]["tract"]["max_abs_diff"] = recorded.into();
        });
        let (code, report) = case.json(&["--engines", "tract"]);
        let checks = report["checks"].as_array().unwrap().clone();
        (code, checks.into_iter().find(|check| check["precision"] == "int8").unwrap())
    };
    let (code, check) = relabel(0.5);
    assert_eq!((code, &check["outcome"], &check["tolerance"]), (0, &"agrees".into(), &1.0.into()));
    let measured = check["max_abs_diff"].as_f64().unwrap();
    case.manifest(|manifest| {
        let artifacts = manifest["artifacts"].as_array_mut().unwrap();
        artifacts.iter_mut().find(|a| a["precision"] == "int8").unwrap()["precision"] = "f16".into();
    });
    let (code, check) = relabel(measured / 3.0);
    assert_eq!((code, &check["outcome"]), (1, &"differs".into()), "{check}");
}
