//! From weights to outputs as a user types it: `mbsd export`, then `mbsd run` and `mbsd inspect`.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use mbsd_net::{Head, Mbsd};
use mbsd_runtime::tensors;
use mbsd_spec::bundle::Parity;
use mbsd_spec::{Bundle, Config, Precision, Task, Variant};
use mbsd_tests::binaries::{program, run, succeed};
use mbsd_tests::{engines, models, reference};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `mbsd export` of weights whose configuration is written beside them.
    fn export(&self, weights: &Path, config: &Config, task: &str, extra: &[&str]) -> PathBuf {
        let (config_file, out) = (self.at("config.json"), self.at(&format!("bundle-{task}")));
        fs::write(&config_file, config.to_json()).unwrap();
        let mut command = program("mbsd");
        command.arg("export").arg("--checkpoint").arg(weights).arg("--config").arg(&config_file);
        command.args(["--task", task, "--variants", "full,text,image"]).args(extra).arg("--out").arg(&out);
        succeed(&mut command);
        out
    }
}

fn run_graph(bundle: &Path, variant: &str, engine: &str, inputs: &Path) -> std::process::Command {
    let mut command = program("mbsd");
    command.args(["run", "--variant", variant, "--engine", engine, "--bundle"]).arg(bundle);
    command.arg("--inputs").arg(inputs);
    command
}

fn engine_names() -> Vec<&'static str> {
    engines::available().iter().map(|engine| engine.kind().name()).collect()
}

#[test]
fn reference_cases_from_weights_to_outputs() {
    let folder = Folder::new();
    let config = reference::config();
    let io = |case: &str| reference::folder().join(format!("{case}.io.safetensors"));
    let classification = folder.export(&reference::weights("classification"), &config, "classify", &[]);
    let matching = folder.export(&reference::weights("match"), &config, "match", &[]);
    let alignment = folder.export(&reference::weights("alignment"), &config, "align", &[]);
    for engine in engine_names() {
        for variant in ["full", "text", "image"] {
            succeed(run_graph(&classification, variant, engine, &io("classification")).arg("--check"));
        }
        succeed(run_graph(&matching, "full", engine, &io("match")).arg("--check"));
        for side in ["src_", "tgt_"] {
            let outputs = folder.at(&format!("{side}out.safetensors"));
            succeed(
                run_graph(&alignment, "full", engine, &io("alignment"))
                    .args(["--prefix", side, "--outputs"])
                    .arg(outputs),
            );
        }
        let pooled =
            |side: &str| tensors::read(&folder.at(&format!("{side}out.safetensors"))).unwrap()["pooled"].clone();
        let mut pair = reference::io("alignment");
        pair.retain(|name, _| name == "logits");
        pair.extend([("source".to_owned(), pooled("src_")), ("target".to_owned(), pooled("tgt_"))]);
        tensors::write(&folder.at("pair.safetensors"), &pair).unwrap();
        succeed(run_graph(&alignment, "pair", engine, &folder.at("pair.safetensors")).arg("--check"));
    }
}

#[test]
fn other_dimensions_from_weights_to_outputs() {
    let folder = Folder::new();
    let config = models::odd_config();
    for head in [Head::Match, Head::Classification { classes: 5 }] {
        let model = Mbsd::init(&config, head, &Device::flex());
        let weights = folder.at(&format!("{}.safetensors", head.task()));
        mbsd_net::save(&model, &weights).unwrap();
        let bundle = folder.export(&weights, &config, head.task().name(), &[]);
        for variant in Variant::ENCODERS {
            let mut tensors_in = models::rows(&config, head.task(), variant, 4, 11);
            tensors_in.extend(models::burn_outputs(&model, &tensors_in));
            tensors::write(&folder.at("in.safetensors"), &tensors_in).unwrap();
            for engine in engine_names() {
                succeed(run_graph(&bundle, variant.name(), engine, &folder.at("in.safetensors")).arg("--check"));
            }
        }
    }
}

#[test]
fn a_check_that_does_not_hold_exits_1() {
    let folder = Folder::new();
    let config = models::odd_config();
    let model = Mbsd::init(&config, Head::Match, &Device::flex());
    mbsd_net::save(&model, folder.at("m.safetensors")).unwrap();
    let bundle = folder.export(&folder.at("m.safetensors"), &config, "match", &[]);
    let mut inputs = models::rows(&config, Task::Match, Variant::Full, 2, 5);
    let mut wrong = models::burn_outputs(&model, &inputs);
    if let Some(mbsd_spec::Tensor::F32 { data, .. }) = wrong.get_mut("logits") {
        data[1] += 0.01;
    }
    inputs.extend(wrong);
    tensors::write(&folder.at("in.safetensors"), &inputs).unwrap();
    let (code, _, stderr) = run(run_graph(&bundle, "full", "tract", &folder.at("in.safetensors")).arg("--check"));
    assert_eq!(code, 1);
    assert!(stderr.contains("output `logits` differs by"), "{stderr}");
}

#[test]
fn export_succeeds_where_no_engine_is_there_and_says_so() {
    let folder = Folder::new();
    let missing = folder.at("no-such-library.so");
    let bundle = folder.export(
        &reference::weights("match"),
        &reference::config(),
        "match",
        &["--engines", "ort-cpu", "--onnxruntime", missing.to_str().unwrap()],
    );
    let bundle = Bundle::open(bundle).unwrap();
    let parity = &bundle.manifest().artifact(Variant::Full, Precision::F32).unwrap().parity;
    assert_eq!(parity["ort-cpu"], Parity::NotMeasured("not measured".to_owned()));
}

#[test]
fn exported_parity_is_measured() {
    let folder = Folder::new();
    let bundle = folder.export(&reference::weights("classification"), &reference::config(), "classify", &[]);
    let bundle = Bundle::open(bundle).unwrap();
    for artifact in &bundle.manifest().artifacts {
        let Parity::Measured(measured) = &artifact.parity["tract"] else { panic!("tract is always there") };
        assert!(measured.max_abs_diff > 0.0 && measured.max_abs_diff < 1e-4, "{measured:?}");
    }
    let text = succeed(program("mbsd").arg("inspect").arg("--bundle").arg(bundle.root()).args(["--graph", "text"]));
    assert!(text.contains("encoder.layer.1.attention.query"), "{text}");
    assert!(!text.contains("image."), "a text graph shows no image weight");
}

#[test]
fn export_refuses_what_does_not_fit_and_leaves_nothing() {
    let folder = Folder::new();
    fs::write(folder.at("config.json"), reference::config().to_json()).unwrap();
    let mut narrow = reference::config();
    narrow.intermediate_size += 1;
    fs::write(folder.at("narrow.json"), narrow.to_json()).unwrap();
    fs::write(folder.at("broken.safetensors"), b"not weights").unwrap();
    fs::write(folder.at("labels.txt"), "only one\n").unwrap();
    fs::create_dir(folder.at("taken")).unwrap();
    fs::write(folder.at("taken/file"), "x").unwrap();
    let weights = reference::weights("classification");
    let weights = weights.to_str().unwrap();
    let at = |name: &str| folder.at(name).to_str().unwrap().to_owned();
    let refused: [(Vec<String>, &str); 7] = [
        (vec![at("missing.safetensors"), at("config.json"), at("out")], "missing.safetensors"),
        (vec![at("broken.safetensors"), at("config.json"), at("out")], "broken.safetensors"),
        (vec![weights.into(), at("narrow.json"), at("out")], "intermediate"),
        (vec![weights.into(), at("nowhere.json"), at("out")], "--config"),
        (vec![weights.into(), at("config.json"), at("taken")], "not empty"),
        (vec![weights.into(), at("config.json"), at("out"), "--task".into(), "match".into()], "match"),
        (vec![weights.into(), at("config.json"), at("out"), "--labels".into(), at("labels.txt")], "1 labels"),
    ];
    for (arguments, says) in refused {
        let [checkpoint, config, out, extra @ ..] = arguments.as_slice() else { unreachable!() };
        let (code, _, stderr) = run(program("mbsd-export")
            .args(["--checkpoint", checkpoint, "--config", config, "--out", out])
            .args(extra));
        assert_eq!(code, 1, "{arguments:?}");
        assert!(stderr.starts_with("error: ") && stderr.contains(says), "{arguments:?}: {stderr}");
    }
    let left: Vec<_> = fs::read_dir(folder.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("out")), "{left:?}");
    assert_eq!(run(program("mbsd-export").args(["--checkpoint", weights])).0, 2, "a missing --out is a usage error");
}

#[test]
fn training_on_a_device_that_cannot_be_had_says_why_before_anything_is_read() {
    for command in [["finetune", "--config", "absent.toml"], ["eval", "--checkpoint", "absent"]] {
        let train = |device: &str| {
            let mut train = program("mbsd");
            train.arg("train").args(command).args(["--device", device]);
            if command[0] == "eval" {
                train.args(["--input", "absent.parquet"]);
            }
            run(&mut train)
        };
        for (device, feature) in [("cuda", "cuda"), ("cuda:1", "cuda"), ("cuda:0,1", "cuda"), ("webgpu", "webgpu")] {
            let (code, _, stderr) = train(device);
            assert_eq!(code, 1, "{stderr}");
            let expected =
                format!("error: this program was built without {feature}: build it with --features {feature}\n");
            assert_eq!(stderr, expected);
        }
        let (code, _, stderr) = train("gpu");
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("`gpu` is no device: use cpu, cuda, cuda:0,1"), "{stderr}");
    }
}
