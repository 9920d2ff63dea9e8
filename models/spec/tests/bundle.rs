//! What a bundle vouches for: every digest, every path, its version, and its whole or nothing on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mbsd_spec::bundle::{Artifact, BundleWriter, DimSpec, Provenance, SCHEMA_VERSION, TensorSpec, names, sha256_file};
use mbsd_spec::{Bundle, BundleError, Config, Manifest, Precision, Task, Variant};
use serde_json::{Value, json};
use tempfile::TempDir;

const GRAPH: &str = "onnx/full.onnx";

fn manifest() -> Manifest {
    Manifest {
        schema_version: SCHEMA_VERSION,
        task: Task::Match,
        labels: Vec::new(),
        threshold: Some(0.5),
        thresholds: BTreeMap::new(),
        max_text_tokens: 144,
        artifacts: vec![Artifact {
            variant: Variant::Full,
            precision: Precision::F32,
            path: GRAPH.to_owned(),
            opset: 17,
            bytes: 5,
            inputs: vec![TensorSpec {
                name: "input_ids".to_owned(),
                dtype: "int64".to_owned(),
                shape: vec![DimSpec::Symbol("batch".to_owned()), DimSpec::Symbol("text".to_owned())],
            }],
            outputs: Vec::new(),
            parity: BTreeMap::new(),
            quantization: None,
        }],
        files: BTreeMap::new(),
        provenance: Provenance::default(),
    }
}

fn written() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("bundle");
    let writer = BundleWriter::create(&root).unwrap();
    writer.write(names::CONFIG, Config::base().to_json()).unwrap();
    writer.write(GRAPH, b"graph").unwrap();
    writer.finish(manifest()).unwrap();
    (folder, root)
}

/// Rewrites the manifest of a bundle.
fn edit(root: &Path, change: impl FnOnce(&mut Value)) {
    let path = root.join(names::MANIFEST);
    let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn refusal(root: &Path) -> BundleError {
    Bundle::open(root).map(|_| ()).expect_err("the bundle must be refused")
}

#[test]
fn a_bundle_is_read_as_it_was_written() {
    let (_folder, root) = written();
    let bundle = Bundle::open(&root).unwrap();
    assert_eq!((bundle.task(), bundle.config()), (Task::Match, &Config::base()));
    let (artifact, path) = bundle.artifact(Variant::Full, Precision::F32).unwrap();
    assert_eq!(artifact.path, GRAPH);
    assert_eq!(fs::read(&path).unwrap(), b"graph");
    assert_eq!(bundle.file(names::TOKENIZER).unwrap(), None);
    assert_eq!(bundle.file(names::CONFIG).unwrap(), Some(root.join(names::CONFIG)));
}

#[test]
fn the_manifest_has_the_digest_of_every_file_but_itself() {
    let (_folder, root) = written();
    let bundle = Bundle::open(&root).unwrap();
    let files = &bundle.manifest().files;
    assert_eq!(files.keys().collect::<Vec<_>>(), [names::CONFIG, GRAPH]);
    for (relative, digest) in files {
        assert_eq!(&sha256_file(&root.join(relative)).unwrap(), digest);
    }
    // `printf graph | sha256sum`
    assert_eq!(files[GRAPH], "eef93e1d14482804277fca0172464032d1a4fdbcc338524059fa1e861454ad4d");
}

#[test]
fn the_same_contents_give_the_same_manifest() {
    let ((_a, first), (_b, second)) = (written(), written());
    assert_eq!(fs::read(first.join(names::MANIFEST)).unwrap(), fs::read(second.join(names::MANIFEST)).unwrap());
}

#[test]
fn a_changed_or_cut_file_is_refused() {
    for contents in [&b"grapf"[..], b"grap", b""] {
        let (_folder, root) = written();
        fs::write(root.join(GRAPH), contents).unwrap();
        let error = refusal(&root);
        assert!(matches!(error, BundleError::Digest { .. }), "{error}");
        assert!(error.to_string().contains("full.onnx: SHA-256 is"), "{error}");
    }
    let (_folder, root) = written();
    fs::write(root.join(names::CONFIG), Config::base().to_json().replace("768", "384")).unwrap();
    assert!(matches!(refusal(&root), BundleError::Digest { .. }));
}

#[test]
fn a_missing_file_is_refused() {
    let (_folder, root) = written();
    fs::remove_file(root.join(GRAPH)).unwrap();
    let error = refusal(&root);
    assert!(matches!(&error, BundleError::Io { path, .. } if path.ends_with(GRAPH)), "{error}");
}

#[test]
fn a_path_out_of_the_bundle_is_refused() {
    for outside in ["../secret", "onnx/../../secret", "/etc/hostname", "", ".", "onnx\\full.onnx", "./config.json"] {
        let (folder, root) = written();
        fs::write(folder.path().join("secret"), b"secret").unwrap();
        edit(&root, |manifest| manifest["files"][outside] = json!("00"));
        let error = refusal(&root);
        assert!(matches!(&error, BundleError::Escape(path) if path == outside), "{outside}: {error}");
        edit(&root, |manifest| {
            manifest["artifacts"][0]["path"] = json!(outside);
        });
        assert!(matches!(refusal(&root), BundleError::Escape(_)), "{outside}");
    }
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_out_of_the_bundle_is_refused() {
    let (folder, root) = written();
    let outside = folder.path().join("graph");
    fs::write(&outside, b"graph").unwrap();
    fs::remove_file(root.join(GRAPH)).unwrap();
    std::os::unix::fs::symlink(&outside, root.join(GRAPH)).unwrap();
    assert!(matches!(refusal(&root), BundleError::Escape(path) if path == GRAPH));
    fs::remove_file(root.join(GRAPH)).unwrap();
    fs::write(root.join("onnx/real.onnx"), b"graph").unwrap();
    std::os::unix::fs::symlink("real.onnx", root.join(GRAPH)).unwrap();
    Bundle::open(&root).expect("a link that stays inside is a file like another");
}

#[test]
fn a_folder_without_a_manifest_is_no_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(folder.path());
    assert!(matches!(error, BundleError::NotABundle { .. }));
    assert!(error.to_string().contains("it has no manifest.json; give a folder written by `mbsd export`"), "{error}");
    let error = refusal(&folder.path().join("nowhere"));
    assert!(matches!(error, BundleError::NotABundle { .. }), "{error}");
}

#[test]
fn a_manifest_that_is_not_understood_is_refused() {
    let (_folder, root) = written();
    let path = root.join(names::MANIFEST);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert!(refusal(&root).to_string().contains("the JSON is broken or cut"));
    for (change, message) in [
        (json!({"schema_version": 2}), "schema version 2, this build reads 1; export again or use a matching build"),
        (json!({"schema_version": "1"}), "no `schema_version`"),
        (json!({"extra": 1}), "unknown field `extra`"),
        (json!({"task": "guess"}), "unknown variant `guess`"),
    ] {
        fs::write(&path, &text).unwrap();
        edit(&root, |manifest| manifest.as_object_mut().unwrap().extend(change.as_object().unwrap().clone()));
        let error = refusal(&root);
        assert!(matches!(error, BundleError::Manifest { .. }));
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_graph_the_manifest_does_not_vouch_for_is_refused() {
    let (_folder, root) = written();
    fs::write(root.join("onnx/other.onnx"), b"other").unwrap();
    edit(&root, |manifest| manifest["artifacts"][0]["path"] = json!("onnx/other.onnx"));
    assert!(refusal(&root).to_string().contains("artifact `onnx/other.onnx` is not among the files"));
}

#[test]
fn a_graph_that_is_not_there_is_named_with_those_that_are() {
    let (_folder, root) = written();
    let error = Bundle::open(&root).unwrap().artifact(Variant::Image, Precision::Int8).unwrap_err();
    assert_eq!(error.to_string(), "the bundle has no int8 image graph; it has: f32 full");
}

#[test]
fn a_writer_takes_an_empty_folder_and_refuses_a_full_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("bundle");
    fs::create_dir(&root).unwrap();
    let writer = BundleWriter::create(&root).unwrap();
    writer.write(names::CONFIG, Config::base().to_json()).unwrap();
    writer.write(GRAPH, b"graph").unwrap();
    writer.finish(manifest()).unwrap();
    let error = BundleWriter::create(&root).unwrap_err();
    assert!(error.to_string().contains("the folder is not empty"), "{error}");
    Bundle::open(&root).expect("the refused writer left it as it was");
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let writer = BundleWriter::create(folder.path().join("bundle")).unwrap();
    writer.write(GRAPH, b"graph").unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_an_interrupted_writer_left_does_not_enter_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("bundle");
    let interrupted = BundleWriter::create(&root).unwrap();
    interrupted.write("onnx/left.onnx", b"left").unwrap();
    std::mem::forget(interrupted);
    let writer = BundleWriter::create(&root).unwrap();
    writer.write(names::CONFIG, Config::base().to_json()).unwrap();
    writer.write(GRAPH, b"graph").unwrap();
    let manifest = writer.finish(manifest()).unwrap();
    assert_eq!(manifest.files.keys().collect::<Vec<_>>(), [names::CONFIG, GRAPH]);
}
