//! Bundles that were cut, changed or made to harm: refused before anything is computed.

use std::fs;
use std::path::Path;

use mbsd_spec::bundle::sha256_file;
use serde_json::Value;

use crate::job::{Job, refused};
use mbsd_tests::binaries::program;

/// Changes a file of the bundle.
fn change(job: &Job, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = job.at("bundle").join(name);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

fn change_manifest(job: &Job, edit: impl FnOnce(&mut Value)) {
    change(job, "manifest.json", |bytes| {
        let mut manifest = serde_json::from_slice(bytes).unwrap();
        edit(&mut manifest);
        *bytes = serde_json::to_vec(&manifest).unwrap();
    });
}

/// Puts content into a file of the bundle and vouches for it in the manifest, as an attacker can.
fn forge(job: &Job, name: &str, content: impl AsRef<[u8]>) {
    let path = job.at("bundle").join(name);
    fs::write(&path, content).unwrap();
    let digest = sha256_file(&path).unwrap();
    change_manifest(job, |manifest| manifest["files"][name] = digest.into());
}

/// Every command that opens a bundle refuses it, and none leaves an output.
fn refused_by_all(job: &Job, says: &[&str]) {
    job.refused(&mut job.tag(), says);
    let bundle = |command: &str| {
        let mut process = program("mbsd");
        process.arg(command).arg("--bundle").arg(job.at("bundle"));
        process
    };
    refused(&mut bundle("inspect"), says);
    refused(bundle("eval").arg("--input").arg(job.at("products.jsonl")), says);
    let tensors = job.write("in.safetensors", b"never read");
    refused(bundle("run").arg("--inputs").arg(tensors).arg("--outputs").arg(job.at("out.safetensors")), says);
}

#[test]
fn a_tampered_file_is_refused() {
    for name in ["onnx/full.onnx", "tokenizer.json", "config.json", "preprocessor_config.json"] {
        let job = Job::new();
        change(&job, name, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
        refused_by_all(&job, &[name, "SHA-256", "fetch or export it again"]);
    }
}

#[test]
fn a_truncated_bundle_is_refused() {
    for name in ["onnx/text.onnx", "tokenizer.json"] {
        let job = Job::new();
        change(&job, name, |bytes| bytes.truncate(bytes.len() / 2));
        refused_by_all(&job, &[name, "was changed or cut"]);
        fs::remove_file(job.at("bundle").join(name)).unwrap();
        refused_by_all(&job, &[name]);
    }
    let job = Job::new();
    for length in [1000, 1, 0] {
        change(&job, "manifest.json", |bytes| bytes.truncate(length));
        refused_by_all(&job, &["manifest.json", "the JSON is broken or cut"]);
    }
    fs::remove_file(job.at("bundle/manifest.json")).unwrap();
    refused_by_all(&job, &["is not a bundle", "mbsd export"]);
    fs::remove_dir_all(job.at("bundle")).unwrap();
    refused_by_all(&job, &["is not a bundle"]);
}

/// Lets the manifest name a file outside the bundle, with the right digest, as `path`.
fn escape(job: &Job, path: &str, outside: &Path) {
    let digest = sha256_file(outside).unwrap();
    change_manifest(job, |manifest| {
        manifest["artifacts"][0]["path"] = path.into();
        manifest["files"][path] = digest.into();
    });
}

#[test]
fn a_path_out_of_the_bundle_is_refused() {
    let graph = |job: &Job| job.at("bundle/onnx/full.onnx");
    for path in ["../full.onnx", "onnx/../../full.onnx", "./../full.onnx"] {
        let job = Job::new();
        fs::copy(graph(&job), job.at("full.onnx")).unwrap();
        escape(&job, path, &job.at("full.onnx"));
        refused_by_all(&job, &[path, "leads out of the bundle"]);
    }
    let job = Job::new();
    let absolute = job.at("full.onnx");
    fs::copy(graph(&job), &absolute).unwrap();
    escape(&job, absolute.to_str().unwrap(), &absolute);
    refused_by_all(&job, &[absolute.to_str().unwrap(), "leads out of the bundle"]);

    #[cfg(unix)]
    {
        let job = Job::new();
        fs::rename(graph(&job), job.at("full.onnx")).unwrap();
        std::os::unix::fs::symlink("../../full.onnx", graph(&job)).unwrap();
        refused_by_all(&job, &["onnx/full.onnx", "leads out of the bundle"]);
    }
}

#[test]
fn a_manifest_that_this_version_does_not_read_is_refused() {
    let refuse = |edit: fn(&mut Value), says: &str| {
        let job = Job::new();
        change_manifest(&job, edit);
        refused_by_all(&job, &["manifest.json", says]);
    };
    refuse(|manifest| manifest["schema_version"] = 99.into(), "schema version 99, this build reads 1");
    refuse(|manifest| manifest["run_after_loading"] = "sh".into(), "unknown field `run_after_loading`");
    refuse(
        |manifest| drop(manifest["files"].as_object_mut().unwrap().remove("onnx/full.onnx")),
        "artifact `onnx/full.onnx` is not among the files",
    );
}

#[test]
fn content_that_is_vouched_for_but_unusable_ends_the_command() {
    let config = |job: &Job, field: &str, value: Value| {
        let mut config: Value = serde_json::from_slice(&fs::read(job.at("bundle/config.json")).unwrap()).unwrap();
        config[field] = value;
        config.to_string()
    };
    let job = Job::new();
    forge(&job, "onnx/full.onnx", "not a graph");
    job.refused(&mut job.tag(), &["cannot load", "full.onnx"]);

    let job = Job::new();
    let half = fs::read(job.at("bundle/onnx/full.onnx")).unwrap();
    forge(&job, "onnx/full.onnx", &half[..half.len() / 2]);
    job.refused(&mut job.tag(), &["cannot load", "full.onnx"]);

    let job = Job::new();
    forge(&job, "tokenizer.json", "{}");
    job.refused(&mut job.tag(), &["tokenizer"]);

    let job = Job::new();
    forge(&job, "preprocessor_config.json", "{\"size\": 99}");
    job.refused(&mut job.tag(), &["preprocess"]);

    for (field, value, says) in [
        ("num_attention_heads", Value::from(0), "num_attention_heads"),
        ("hidden_size", Value::from(u64::MAX), "config.json"),
        ("vocab_size", Value::from(7), "do not belong together"),
        ("image_size", Value::from(64), "do not belong together"),
    ] {
        let job = Job::new();
        let text = config(&job, field, value);
        forge(&job, "config.json", text);
        job.refused(&mut job.tag(), &[says]);
    }
}
