//! Half precision and shared weights: what they may change, and what they may not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use burn::nn::{Initializer, LinearConfig};
use burn::tensor::Device;
use mbsd_export::graph::DType;
use mbsd_export::{Compiler, Output, mbsd, onnx, passes};
use mbsd_net::Head;
use mbsd_runtime::engine::{Engine, EngineKind, Session, SessionOptions, causes};
use mbsd_spec::{Bundle, Config, NamedTensors, Task, Tensor, Variant};
use mbsd_tests::binaries::{program, run, succeed};
use mbsd_tests::{bundles, engines, max_difference, models, reference, tolerance};

/// Rows of which the decisions are compared.
const ROWS: usize = 1024;

/// Rows of a batch.
const BATCH: usize = 8;

fn load(engine: &dyn Engine, path: &Path) -> Box<dyn Session> {
    engine.load(path, &SessionOptions::default()).unwrap()
}

/// Row `batch` of different rows each time: the ids and the pixels move on.
fn rows(config: &Config, task: Task, variant: Variant, batch: usize) -> NamedTensors {
    let mut inputs = models::rows(config, task, variant, BATCH, 9 + batch % 9);
    for (name, tensor) in &mut inputs {
        match tensor {
            Tensor::I64 { data, .. } if name == "input_ids" => {
                let vocabulary = config.vocab_size as i64;
                data.iter_mut().for_each(|id| *id = (*id * 37 + batch as i64 * 101) % vocabulary);
            }
            Tensor::F32 { data, .. } => {
                let count = data.len();
                data.copy_from_slice(&models::noise(count, batch as u64 + 3));
            }
            Tensor::I64 { .. } => {}
        }
    }
    inputs
}

/// The class of each row, or whether it matches.
fn decisions(logits: &[f32], outputs: usize) -> Vec<usize> {
    if outputs == 1 {
        return logits.iter().map(|&logit| usize::from(logit >= 0.0)).collect();
    }
    logits.chunks(outputs).map(|row| (0..outputs).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()).collect()
}

/// Logits within [`tolerance::HALF`] of single precision, and 99.9% the same decisions, with the released model's heads.
#[test]
fn half_precision_keeps_logits_and_decisions_on_both_engines() {
    let folder = tempfile::tempdir().unwrap();
    let config = reference::config();
    let mut counts: BTreeMap<EngineKind, (usize, usize)> = BTreeMap::new();
    for (case, outputs) in [("match", 1), ("classification", 7)] {
        let (model, _) = mbsd_net::load(reference::weights(case), &config, None, &Device::flex()).unwrap();
        let task = model.head().task();
        // The image graph of a match is its full graph: the tag is text.
        let encoders = Variant::ENCODERS.into_iter().filter(|v| task != Task::Match || *v != Variant::Image);
        for variant in encoders {
            let single = mbsd::compile(&model, &config, variant).unwrap();
            let mut half = single.clone();
            mbsd::to_half(&mut half);
            let [single, half] = [(single, "single.onnx"), (half, "half.onnx")].map(|(graph, name)| {
                let path = folder.path().join(name);
                onnx::write(&graph, &path, &Default::default()).unwrap();
                path
            });
            for engine in engines::available() {
                let (mut single, mut half) = (load(engine.as_ref(), &single), load(engine.as_ref(), &half));
                assert_eq!((single.inputs(), single.outputs()), (half.inputs(), half.outputs()));
                let (mut worst, mut same, mut seen) = (0f32, 0, BTreeSet::new());
                for batch in 0..ROWS / BATCH {
                    let inputs = rows(&config, task, variant, batch);
                    let [exact, found] = [&mut single, &mut half].map(|s| s.run(&inputs).unwrap());
                    for name in ["logits", "pooled"] {
                        let pair = [&exact, &found].map(|outputs| outputs[name].as_f32().unwrap());
                        worst = worst.max(max_difference(pair[0], pair[1]));
                    }
                    let [exact, found] = [exact, found].map(|o| decisions(o["logits"].as_f32().unwrap(), outputs));
                    same += exact.iter().zip(&found).filter(|(a, b)| a == b).count();
                    seen.extend(exact);
                }
                let what = format!("{case} {variant} {}", engine.kind());
                println!("{what}: largest difference {worst:.1e}, {same} of {ROWS} decisions the same");
                assert!(worst <= tolerance::HALF, "{what}: differs by {worst:e}");
                assert!(worst > 0.0, "{what}: half precision that changes nothing is none");
                let count = counts.entry(engine.kind()).or_default();
                *count = (count.0 + same, count.1 + ROWS);
                assert!(seen.len() > 1, "{what}: all rows decided alike, nothing was compared");
            }
        }
    }
    for (engine, (same, total)) in counts {
        assert!(same as f64 >= 0.999 * total as f64, "{engine}: {same} of {total} decisions are the same");
    }
}

/// In half precision, sums of ones stop at 2048: the next number is 2050.
#[test]
fn products_in_half_precision_are_summed_in_single_precision() {
    const TERMS: usize = 4096;
    let map = |inputs| {
        let config = LinearConfig::new(inputs, 1).with_bias(false).with_initializer(Initializer::Ones);
        config.init(&Device::flex())
    };
    let maps = vec![map(TERMS), map(1)];
    let mut graph = Compiler::new()
        .float("x", ["batch".into(), TERMS.into()])
        .compile(&maps, |maps, inputs| vec![Output::new("y", maps[1].forward(maps[0].forward(inputs.float::<2>("x"))))])
        .unwrap();
    passes::to_half(&mut graph, |_| false);
    assert!(graph.weights.values().any(|weight| weight.dtype == DType::F16), "{graph}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ones.onnx");
    onnx::write(&graph, &path, &Default::default()).unwrap();
    let inputs = NamedTensors::from([("x".to_owned(), Tensor::f32([2, TERMS], vec![1.0; 2 * TERMS]).unwrap())]);
    for engine in engines::available() {
        let found = load(engine.as_ref(), &path).run(&inputs).unwrap();
        assert_eq!(found["y"].as_f32().unwrap(), [TERMS as f32; 2], "{}", engine.kind());
    }
}

/// Weights take half the space, but for those that stay exact; inputs and outputs stay what they are.
#[test]
fn a_half_precision_graph_stores_its_weights_so() {
    let config = reference::config();
    let (model, _) = mbsd_net::load(reference::weights("match"), &config, None, &Device::flex()).unwrap();
    let single = mbsd::compile(&model, &config, Variant::Full).unwrap();
    let mut half = single.clone();
    mbsd::to_half(&mut half);
    let bytes = |dtype: DType| -> usize {
        half.weights.values().filter(|weight| weight.dtype == dtype).map(|weight| weight.byte_len()).sum()
    };
    let whole = 2 * bytes(DType::F16) + bytes(DType::F32);
    assert!(whole.abs_diff(single.weight_bytes()) < 64, "each weight is stored once, constants aside: {whole}");
    let names = |dtype: DType| -> Vec<&str> {
        let weights = half.weights.values().filter(|weight| weight.dtype == dtype && weight.byte_len() > 4);
        weights.map(|weight| weight.name.as_str()).collect()
    };
    let exact = |name: &str| {
        name.contains("norm")
            || ["pooler", "classifier", "image.patchify"].iter().any(|module| name.starts_with(module))
    };
    assert!(names(DType::F16).iter().all(|name| !exact(name)), "{:?}", names(DType::F16));
    let kept = names(DType::F32);
    assert!(
        kept.iter().all(|name| exact(name) || ["modality.0", "image.position", "modality.1"].contains(name)),
        "{kept:?}"
    );
    let io = |graph: &mbsd_export::Graph| {
        let all = graph.inputs.iter().chain(&graph.outputs);
        all.map(|(name, id)| (name.clone(), graph.value(*id).clone())).collect::<Vec<_>>()
    };
    assert_eq!(io(&single), io(&half));
}

struct Exported {
    folder: tempfile::TempDir,
}

impl Exported {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        bundles::checkpoint(Head::Match, 4.0, folder.path());
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn export(&self, out: &str, extra: &[&str]) -> PathBuf {
        let mut export = program("mbsd-export");
        export.arg("--checkpoint").arg(self.folder.path()).args(extra).arg("--out").arg(self.at(out));
        succeed(&mut export);
        self.at(out)
    }

    /// `mbsd tag` of two products; the output as text.
    fn tag(&self, bundle: &Path, precision: &str, engine: &str) -> (i32, String, String) {
        let rows = "{\"id\": \"a\", \"title\": \"red dress\"}\n{\"id\": \"b\", \"title\": \"blue sleeve\"}\n";
        fs::write(self.at("products.jsonl"), rows).unwrap();
        fs::write(self.at("tags.txt"), "colour:red\ncolour:blue").unwrap();
        let mut tag = program("mbsd");
        tag.arg("tag").arg("--bundle").arg(bundle).arg("--input").arg(self.at("products.jsonl"));
        tag.arg("--tags").arg(self.at("tags.txt")).args(["--threshold", "0", "--engine", engine]);
        let (code, _, stderr) = run(tag.args(["--precision", precision, "--output"]).arg(self.at("out.jsonl")));
        (code, fs::read_to_string(self.at("out.jsonl")).unwrap_or_default(), stderr)
    }
}

#[test]
fn a_precision_is_chosen_by_name_and_one_that_is_not_there_is_refused() {
    let case = Exported::new();
    let both = case.export("both", &["--precision", "f16,f32"]);
    let paths: Vec<String> = Bundle::open(&both).unwrap().manifest().artifacts.iter().map(|a| a.path.clone()).collect();
    let expected =
        ["full", "text", "image"].iter().flat_map(|v| [format!("onnx/{v}.onnx"), format!("onnx/{v}_fp16.onnx")]);
    assert_eq!(paths, expected.collect::<Vec<_>>());
    for engine in engines::available() {
        let engine = engine.kind().name();
        let [(_, single, _), (code, half, stderr)] = ["f32", "f16"].map(|precision| case.tag(&both, precision, engine));
        assert_eq!(code, 0, "{stderr}");
        assert!(single != half && half.lines().count() == 2, "{single}{half}");
    }
    let half = case.export("half", &["--precision", "f16", "--engines", "tract"]);
    let (code, _, stderr) = case.tag(&half, "f32", "tract");
    assert_eq!(code, 1);
    let says = "the bundle has no f32 graph that encodes products; it has: f16 full, f16 text, f16 image";
    assert!(stderr.contains(says), "{stderr}");

    let refuse = |precision: &str| {
        let out = case.at("out");
        run(program("mbsd-export")
            .arg("--checkpoint")
            .arg(case.at(""))
            .args(["--precision", precision])
            .arg("--out")
            .arg(out))
    };
    let (code, _, stderr) = refuse("f8");
    assert!(code == 2 && stderr.contains("unknown precision `f8`: use one of f32, f16"), "{stderr}");
    let (code, _, stderr) = refuse("f32,int8");
    assert!(code == 1 && stderr.contains("`mbsd calibrate` makes int8 graphs of an f32 bundle"), "{stderr}");
    assert!(!case.at("out").exists());
}

/// The same outputs to the bit on both engines, each weight stored once, the same bytes twice.
#[test]
fn graphs_that_share_their_weights_give_the_same_in_less_space() {
    let case = Exported::new();
    let own = case.export("own", &["--precision", "f32,f16"]);
    let shared = case.export("shared", &["--precision", "f32,f16", "--shared-weights"]);
    let again = case.export("again", &["--precision", "f32,f16", "--shared-weights"]);
    let bundle = Bundle::open(&shared).unwrap();
    assert!(bundle.manifest().files.contains_key("onnx/weights.bin"));
    for name in bundle.manifest().files.keys().map(String::as_str).chain(["manifest.json"]) {
        assert!(fs::read(shared.join(name)).unwrap() == fs::read(again.join(name)).unwrap(), "{name}");
    }
    for engine in engines::available() {
        let config = bundle.config().clone();
        for artifact in &bundle.manifest().artifacts {
            let inputs = models::rows(&config, Task::Match, artifact.variant, 3, 7);
            let [a, b] =
                [&own, &shared].map(|root| load(engine.as_ref(), &root.join(&artifact.path)).run(&inputs).unwrap());
            assert_eq!(a, b, "{} on {}", artifact.path, engine.kind());
        }
    }
    let size = |root: &Path| -> u64 {
        fs::read_dir(root.join("onnx")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let (own, shared) = (size(&own), size(&shared));
    println!("own {own} bytes, shared {shared} bytes");
    assert!(shared < own, "{shared} bytes shared, {own} apart");
    let (code, out, stderr) = case.tag(bundle.root(), "f16", "tract");
    assert!(code == 0 && out.lines().count() == 2, "{stderr}");
}

/// Both engines refuse a graph whose weights lie outside its folder.
#[test]
fn weights_outside_the_folder_are_refused() {
    let case = Exported::new();
    let shared = case.export("shared", &["--variants", "text", "--shared-weights", "--engines", "tract"]);
    let graph = shared.join("onnx/text.onnx");
    let moved: Vec<u8> = {
        let bytes = fs::read(&graph).unwrap();
        // A name of the same length, so that the file stays a message.
        let (from, to) = (b"weights.bin", b"../weig.bin");
        let mut out = bytes.clone();
        for at in 0..bytes.len() - from.len() {
            if &bytes[at..at + from.len()] == from {
                out[at..at + to.len()].copy_from_slice(to);
            }
        }
        out
    };
    fs::write(&graph, moved).unwrap();
    fs::rename(shared.join("onnx/weights.bin"), shared.join("weig.bin")).unwrap();
    for engine in engines::available() {
        let Err(refused) = engine.load(&graph, &SessionOptions::default()) else {
            panic!("{} read weights outside the folder", engine.kind());
        };
        let why = causes(&refused);
        println!("{why}");
        assert!(["inside the model directory", "outside", "escape"].iter().any(|word| why.contains(word)), "{why}");
    }
}
