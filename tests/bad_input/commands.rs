//! Engines that cannot be had, bundles for another task, and wrong usage.

use std::fs;
use std::path::Path;
use std::process::Command;

use mbsd_runtime::engine::{self, EngineKind, EngineOptions};
use mbsd_spec::Task;
use mbsd_tests::binaries::{program, run, succeed};
use mbsd_tests::bundles::SmallBundle;

use crate::job::{Job, refused};

#[test]
fn a_wrong_engine_library_is_named_and_nothing_is_computed() {
    let job = Job::new();
    let text = job.write("libonnxruntime.so", "this is no library");
    let empty = job.write("empty.so", "");
    let missing = job.at("nowhere/libonnxruntime.so");
    let folder = job.at("images");
    for (library, says) in [
        (&text, "is not a library that can be loaded"),
        (&empty, "is not a library that can be loaded"),
        (&missing, "does not exist"),
        (&folder, "holds none"),
    ] {
        for kind in ["ort-cpu", "ort-cuda", "ort-tensorrt"] {
            let not_available = format!("engine `{kind}` is not available");
            let says = [not_available.as_str(), library.to_str().unwrap(), says];
            job.refused(job.tag().args(["--engine", kind, "--onnxruntime"]).arg(library), &says);
            job.refused(job.tag().args(["--engine", kind]).env("ORT_DYLIB_PATH", library), &says);
        }
        // An engine that needs no library is not disturbed.
        succeed(job.tag().arg("--onnxruntime").arg(library));
        fs::remove_file(job.at("out.jsonl")).unwrap();
    }
}

#[test]
fn a_gpu_engine_where_there_is_none_names_what_is_missing() {
    let options = EngineOptions::default();
    for (kind, provider) in [
        (EngineKind::OrtCuda, "libonnxruntime_providers_cuda.so"),
        (EngineKind::OrtTensorrt, "libonnxruntime_providers_tensorrt.so"),
    ] {
        let job = Job::new();
        if let Err(error) = engine::onnxruntime(&options) {
            eprintln!("skipped: there is no ONNX Runtime library to ask for {kind} ({error})");
            continue;
        }
        if engine::open(kind, &options).is_ok() {
            eprintln!("skipped: this machine has {kind}");
            continue;
        }
        let not_available = format!("engine `{kind}` is not available");
        job.refused(job.tag().args(["--engine", kind.name()]), &[&not_available, provider]);
    }
}

#[test]
fn a_bundle_for_another_task_is_refused() {
    let job = Job::new();
    let pairs = job.write("pairs.csv", "source,target\na,b\n");
    let bundle = |task: Task| {
        fs::remove_dir_all(job.at("bundle")).unwrap();
        SmallBundle::of(task).write(&job.at("bundle"));
    };
    let command = |name: &str| job.command(name, &job.at("products.jsonl"), &job.at("out.jsonl"));
    let align = || {
        let mut command = command("align");
        command.arg("--pairs").arg(&pairs);
        command
    };
    let task =
        |found: Task, needed: Task| format!("the bundle is for the task `{found}`; this needs one for `{needed}`");

    bundle(Task::Match);
    job.refused(&mut command("classify"), &[&task(Task::Match, Task::Classification)]);
    job.refused(&mut align(), &[&task(Task::Match, Task::Alignment)]);
    job.refused(&mut command("embed"), &["use a classification or an alignment bundle"]);
    bundle(Task::Classification);
    job.refused(&mut job.tag(), &[&task(Task::Classification, Task::Match)]);
    job.refused(&mut align(), &[&task(Task::Classification, Task::Alignment)]);
    succeed(&mut command("classify"));
    fs::remove_file(job.at("out.jsonl")).unwrap();
    bundle(Task::Alignment);
    job.refused(&mut job.tag(), &[&task(Task::Alignment, Task::Match)]);
    job.refused(&mut command("classify"), &[&task(Task::Alignment, Task::Classification)]);
    succeed(&mut align());
}

#[test]
fn what_the_bundle_lacks_is_named() {
    let job = Job::new();
    job.refused(job.tag().args(["--precision", "f16"]), &["no f16 graph that encodes products", "f32 full"]);
    let bare = job.at("bare");
    let weights = mbsd_tests::reference::weights("match");
    let config = job.write("config.json", mbsd_tests::reference::config().to_json());
    succeed(
        program("mbsd-export")
            .args(["--variants", "full", "--engines", "tract", "--checkpoint"])
            .arg(weights)
            .arg("--config")
            .arg(config)
            .arg("--out")
            .arg(&bare),
    );
    fs::remove_dir_all(job.at("bundle")).unwrap();
    fs::rename(bare, job.at("bundle")).unwrap();
    job.refused(&mut job.tag(), &["the bundle has no tokenizer.json", "--tokenizer"]);
}

#[test]
fn export_refuses_a_tokenizer_that_does_not_fit() {
    let job = Job::new();
    let config = job.write("config.json", mbsd_tests::reference::config().to_json());
    let special = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    let many: String = (0..50_000).map(|n| format!("word{n}\n")).collect();
    for (name, content, says) in [
        ("none.txt", String::new(), "[PAD]"),
        ("twice.txt", format!("{special}red\nblue\nred\n"), "`red` is on line 6 and on line 8"),
        ("large.txt", format!("{special}{many}"), "they do not belong together"),
        ("broken.json", "{\"model\":".to_owned(), "not a tokenizer.json"),
    ] {
        let tokenizer = job.write(name, content);
        let mut export = program("mbsd-export");
        export.arg("--checkpoint").arg(mbsd_tests::reference::weights("match"));
        export.arg("--config").arg(&config).arg("--tokenizer").arg(&tokenizer).arg("--out").arg(job.at("out.bundle"));
        job.refused(&mut export, &[name, says]);
    }
}

#[test]
fn wrong_usage_exits_2() {
    let job = Job::new();
    let input = job.at("products.jsonl");
    let tag = |more: &[&str]| {
        let mut command = job.tag();
        command.args(more);
        command
    };
    let mbsd = |arguments: &[&str]| {
        let mut command = program("mbsd");
        command.args(arguments);
        command
    };
    let usages: [(Command, &str); 11] = [
        (mbsd(&[]), "Usage: mbsd"),
        (mbsd(&["tagg"]), "tagg"),
        (mbsd(&["tag"]), "--bundle"),
        (mbsd(&["tag", "--bundle", "b", "--input", "i.csv", "--output", "o.jsonl"]), "--tags"),
        (tag(&["--engine", "onnx"]), "tract"),
        (tag(&["--precision", "f8"]), "f32"),
        (tag(&["--top", "0"]), "--top"),
        (tag(&["--top", "many"]), "--top"),
        (tag(&["--threads", "0"]), "--threads"),
        (tag(&["--colour", "red"]), "--colour"),
        (job.command("tag", &input, Path::new("out.jsonl")), "--tags"),
    ];
    for (mut command, says) in usages {
        let (code, stdout, stderr) = run(&mut command);
        assert_eq!(code, 2, "{command:?}: {stderr}");
        assert!(stdout.is_empty() && stderr.contains(says), "{command:?} does not say `{says}`: {stderr}");
    }
    for probability in ["1.5", "-0.1", "NaN", "half"] {
        let mut command = program("mbsd");
        let threshold = format!("--threshold={probability}");
        command
            .args(["tag", "--bundle", "b", "--input", "i.csv", "--tags", "t.txt", "--output", "o.jsonl", &threshold]);
        let (code, _, stderr) = run(&mut command);
        assert_eq!(code, 2, "{probability}: {stderr}");
        assert!(stderr.contains("must be a number from 0 to 1"), "{stderr}");
    }
    assert!(!job.at("out.jsonl").exists());
}

#[test]
fn a_bundle_that_is_not_there_is_an_error_of_the_command() {
    for command in ["inspect", "tag"] {
        let mut process = program("mbsd");
        process.args([command, "--bundle", "no such folder"]);
        if command == "tag" {
            process.args(["--input", "i.csv", "--tags", "t.txt", "--output", "o.jsonl"]);
        }
        // Tags are read first, so that a slip in them is told at once.
        refused(&mut process, &[if command == "tag" { "t.txt" } else { "no such folder" }]);
    }
}
