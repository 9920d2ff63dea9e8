//! The layouts through plain Python: transformers, ONNX Runtime and Pillow; a client of Triton's protocol. With the packages of
//! `tests/python/requirements.txt`, which `cargo xtask python` fetches; skipped, and said so, where they are not there.

use std::path::{Path, PathBuf};
use std::process::Command;

use mbsd_net::Head;
use mbsd_tests::binaries::{program, succeed};
use mbsd_tests::engines;

use crate::Case;

/// The interpreter, where the wanted packages are installed: `MBSD_PYTHON`, else that of `cargo xtask python`.
fn python(test: &str) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MBSD_PYTHON") {
        return Some(named.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let test_program = std::env::current_exe().ok()?;
    let folder = test_program.ancestors().nth(3)?.join("python");
    let wanted = std::fs::read(root.join("python/requirements.txt")).ok()?;
    if std::fs::read(folder.join("requirements.txt")).is_ok_and(|installed| installed == wanted) {
        return Some(folder.join("bin/python"));
    }
    eprintln!("SKIPPED {test}: no Python packages; fetch them with `cargo xtask python`");
    None
}

fn script(interpreter: &Path, name: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name));
    command.env("HF_HUB_OFFLINE", "1").env("TRANSFORMERS_VERBOSITY", "error");
    command
}

/// Exports a match model in a layout, and scores a catalogue with `mbsd tag` from a bundle of the same weights.
fn scored(interpreter: &Path, layout: &str, extra: &[&str]) -> (Case, PathBuf) {
    let case = Case::new(Head::Match);
    succeed(script(interpreter, "products.py").arg(case.at("")));
    let bundle = case.export("bundle", &[]);
    let out = case.relayout(&bundle, layout, layout, extra);
    let engine = engines::available().last().map(|engine| engine.kind().name()).unwrap_or("tract");
    let mut tag = program("mbsd");
    tag.arg("tag").arg("--bundle").arg(&bundle).arg("--input").arg(case.at("products.jsonl"));
    tag.arg("--tags").arg(case.at("tags.txt")).args(["--threshold", "0", "--engine", engine, "--output"]);
    succeed(tag.arg(case.at("expected.jsonl")));
    (case, out)
}

fn check(interpreter: &Path, name: &str, case: &Case, layout: &Path) -> serde_json::Value {
    let mut command = script(interpreter, name);
    command.arg(layout).arg(case.at("products.jsonl")).arg(case.at("tags.txt")).arg(case.at("expected.jsonl"));
    let report = succeed(&mut command);
    println!("{name}: {report}");
    serde_json::from_str(&report).unwrap()
}

#[test]
fn the_hub_layout_scores_in_plain_python_as_mbsd_does() {
    let Some(interpreter) = python("the_hub_layout_scores_in_plain_python_as_mbsd_does") else { return };
    let (case, hub) = scored(&interpreter, "hf", &[]);
    let report = check(&interpreter, "hub.py", &case, &hub);
    let decisions = ["exact", "jpg", "jpeg"].map(|kind| report[kind]["decisions"].as_u64());
    assert_eq!(decisions, [Some(1000); 3]);
}

#[test]
fn the_triton_layout_keeps_to_tritons_definition_and_its_client_scores_as_mbsd_does() {
    let test = "the_triton_layout_keeps_to_tritons_definition_and_its_client_scores_as_mbsd_does";
    let Some(interpreter) = python(test) else { return };
    let (case, repository) = scored(&interpreter, "triton", &["--tensorrt"]);
    let report = check(&interpreter, "triton.py", &case, &repository);
    assert_eq!(report["models"].as_array().map(Vec::len), Some(6));
}

/// The rows of a JSON Lines file.
fn rows(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The client as a program, against `mbsd` with the same products: those whose pictures every decoder reads alike.
fn same_answers(interpreter: &Path, head: Head, command: &str, names: &[&str], pairs: bool) {
    let case = Case::new(head);
    succeed(script(interpreter, "products.py").arg(case.at("")));
    let products = case.at("products.jsonl");
    let text = std::fs::read_to_string(&products).unwrap();
    let exact: Vec<&str> = text.lines().filter(|line| !line.contains(".jp")).collect();
    std::fs::write(&products, exact.join("\n")).unwrap();
    let two = |a: usize, b: usize| format!("{{\"source\": \"p{a}\", \"target\": \"p{b}\"}}\n");
    let all: String = (100..149).map(|n| two(n, n + 1)).collect();
    std::fs::write(case.at("pairs.jsonl"), all).unwrap();

    let bundle = case.export("bundle", &[]);
    let hub = case.relayout(&bundle, "hf", "hub", &[]);
    let mut ours = program("mbsd");
    ours.arg(command).arg("--bundle").arg(&bundle);
    let mut theirs = Command::new(interpreter);
    theirs.arg("-B").arg(hub.join("mbsd_hub.py")).arg("--model").arg(&hub);
    for (process, output) in [(&mut ours, "ours.jsonl"), (&mut theirs, "theirs.jsonl")] {
        process.arg("--input").arg(&products).arg("--output").arg(case.at(output));
        if pairs {
            process.arg("--pairs").arg(case.at("pairs.jsonl"));
        }
        succeed(process);
    }
    let (ours, theirs) = (rows(&case.at("ours.jsonl")), rows(&case.at("theirs.jsonl")));
    assert_eq!(theirs.len(), if pairs { 49 } else { 50 });
    for (a, b) in ours.iter().zip(&theirs) {
        for &name in names {
            assert_eq!(a[name], b[name], "{a} {b}");
        }
        let [x, y] = [a, b].map(|row| row["score"].as_f64().unwrap_or_else(|| panic!("{row} has no score")));
        assert!((x - y).abs() <= 1e-4, "{a} {b}");
    }
}

#[test]
fn classes_and_pairs_in_plain_python_are_those_of_mbsd() {
    let Some(interpreter) = python("classes_and_pairs_in_plain_python_are_those_of_mbsd") else { return };
    same_answers(&interpreter, Head::Classification { classes: 3 }, "classify", &["id", "label"], false);
    same_answers(&interpreter, Head::Alignment, "align", &["source", "target"], true);
}
