//! What cannot be packaged is said, and nothing is left behind.

use std::fs;

use mbsd_net::Head;
use mbsd_tests::binaries::{program, run};

use crate::Case;

#[test]
fn what_cannot_be_packaged_is_refused() {
    let case = Case::new(Head::Match);
    let bundle = case.export("bundle", &[]);
    let shared = case.at("shared");
    let checkpoint = case.at("checkpoint");
    let mut export = program("mbsd-export");
    export.arg("--checkpoint").arg(&checkpoint).args(["--shared-weights", "--variants", "text", "--engines", "tract"]);
    assert_eq!(run(export.arg("--out").arg(&shared)).0, 0);
    fs::create_dir(case.at("plain")).unwrap();
    for name in ["model.safetensors", "config.json"] {
        fs::copy(checkpoint.join(name), case.at("plain").join(name)).unwrap();
    }
    fs::create_dir(case.at("taken")).unwrap();
    fs::write(case.at("taken/file"), "x").unwrap();
    let tampered = case.at("tampered");
    for (name, bytes) in crate::files(&bundle) {
        let path = tampered.join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, if name == "onnx/text.onnx" { &bytes[1..] } else { &bytes[..] }).unwrap();
    }

    let refused = |arguments: &[&str], code: i32, says: &str| {
        let place = |name: &&str| match name.strip_prefix('@') {
            Some(name) => case.at(name).into_os_string(),
            None => name.into(),
        };
        let (found, _, stderr) = run(program("mbsd-export").args(arguments.iter().map(place)));
        assert_eq!(found, code, "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(says), "{arguments:?}: {stderr}");
    };
    for layout in ["hf", "triton"] {
        refused(&["--bundle", "@bundle", "--layout", layout, "--out", "@taken"], 1, "taken: the folder is not empty");
        refused(&["--checkpoint", "@checkpoint", "--layout", layout, "--out", "@taken"], 1, "the folder is not empty");
        let shared = ["--bundle", "@shared", "--layout", layout, "--out", "@out"];
        refused(&shared, 1, "keep their weights in onnx/weights.bin, which only the bundle layout has");
        let direct = ["--checkpoint", "@checkpoint", "--layout", layout, "--shared-weights", "--out", "@out"];
        refused(&direct, 1, "--shared-weights belongs to the bundle layout");
        let plain = ["--checkpoint", "@plain", "--layout", layout, "--engines", "tract", "--out", "@out"];
        refused(&plain, 1, "the bundle has no tokenizer.json, which clients of this layout need");
        refused(&["--bundle", "@tampered", "--layout", layout, "--out", "@out"], 1, "text.onnx: SHA-256 is");
        refused(&["--bundle", "@nowhere", "--layout", layout, "--out", "@out"], 1, "is not a bundle");
    }
    refused(&["--bundle", "@bundle", "--layout", "bundle", "--out", "@out"], 1, "is a bundle already");
    refused(&["--bundle", "@bundle", "--layout", "tar", "--out", "@out"], 2, "use one of bundle, hf, triton");
    refused(
        &["--bundle", "@bundle", "--layout", "hf", "--precision", "f16", "--out", "@out"],
        2,
        "cannot be used with",
    );
    refused(
        &["--bundle", "@bundle", "--checkpoint", "@checkpoint", "--layout", "hf", "--out", "@out"],
        2,
        "cannot be used with",
    );
    refused(&["--layout", "hf", "--out", "@out"], 2, "--checkpoint");
    refused(
        &["--bundle", "@bundle", "--layout", "hf", "--tensorrt", "--out", "@out"],
        1,
        "--tensorrt belongs to --layout triton",
    );
    let left: Vec<_> =
        fs::read_dir(case.at("")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| name != "out" && !name.starts_with('.')), "{left:?}");
}
