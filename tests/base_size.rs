//! The size of the paper: what an export of it costs, and that it runs.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use mbsd_net::{Head, Mbsd};
use mbsd_runtime::tensors;
use mbsd_spec::{Config, Task, Variant};
use mbsd_tests::binaries::{program, succeed};
use mbsd_tests::{engines, max_difference, models, tolerance};

/// An export of the base model ends within this.
const EXPORT_TIME: Duration = Duration::from_secs(60);

/// An export holds less than this many times the weights.
const EXPORT_MEMORY: f64 = 3.0;

/// Waits for a process and returns its largest resident size, as Linux counts it.
fn peak_memory(child: &mut Child) -> Option<u64> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = None;
    while child.try_wait().expect("the child can be waited for").is_none() {
        let line = std::fs::read_to_string(&status).ok().and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("VmHWM:").map(|rest| rest.trim().to_owned()))
        });
        peak = line.and_then(|text| text.split(' ').next()?.parse::<u64>().ok()).map(|kb| kb * 1024).or(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    peak
}

/// Multiply-adds of MBSD for one product of `text` tokens and an image, where the last layer computes `last` tokens.
fn multiply_adds(config: &Config, text: usize, last: usize) -> usize {
    let (width, inner, tokens) = (config.hidden_size, config.intermediate_size, text + 1 + config.patches());
    let layer = |queries: usize| {
        let projections = 2 * tokens * width * width + 2 * queries * width * width;
        projections + 2 * queries * tokens * width + 2 * queries * width * inner
    };
    // Side of the features, channels, and values under the kernel, of each convolution.
    let patchify: [(usize, usize, usize); 4] =
        [(56, 64, 3 * 16), (28, 192, 64 * 4), (14, 384, 192 * 4), (7, width, 384 * 4)];
    let patchify: usize = patchify.iter().map(|(side, channels, kernel)| side * side * channels * kernel).sum();
    let head = width * width + width;
    (config.num_hidden_layers - 1) * layer(tokens) + layer(last) + patchify + head
}

/// `mbsd inspect` counts them from the graph, where the last layer computes its first token only.
fn counts_multiply_adds(bundle: &Path, config: &Config) {
    for (text, whole) in [(64, 10.1), (144, 17.3)] {
        let all = multiply_adds(config, text, text + 1 + config.patches()) as f64 / 1e9;
        assert!((all - whole).abs() < 0.05, "{all} GMAC of the whole forward at {text} tokens");
        let mut inspect = program("mbsd");
        inspect.args(["inspect", "--graph", "full", "--json", "--sizes"]).arg(format!("text={text}"));
        let json: serde_json::Value = serde_json::from_str(&succeed(inspect.arg("--bundle").arg(bundle))).unwrap();
        let counted = &json["multiply_adds"];
        assert_eq!(counted["at"]["count"], multiply_adds(config, text, 1), "{counted}");
        assert_eq!(counted["at"]["sizes"], serde_json::json!({ "batch": 1, "text": text }));
        assert_eq!(counted["uncounted"], serde_json::json!([]));
    }
}

#[test]
fn the_base_model_exports_within_a_minute_and_three_times_its_memory_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let config = Config::base();
    let model = Mbsd::init(&config, Head::Match, &Device::flex());
    let weights = at("base.safetensors");
    mbsd_net::save(&model, &weights).unwrap();
    std::fs::write(at("config.json"), config.to_json()).unwrap();
    let size = std::fs::metadata(&weights).unwrap().len();

    let started = Instant::now();
    let mut child = program("mbsd-export")
        .args(["--task", "match", "--variants", "full", "--checkpoint"])
        .arg(&weights)
        .arg("--out")
        .arg(at("bundle"))
        .spawn()
        .unwrap();
    let peak = peak_memory(&mut child);
    let elapsed = started.elapsed();
    assert!(child.wait().unwrap().success());
    println!("base export: {elapsed:.1?}, weights {size} bytes, peak {peak:?} bytes");
    assert!(elapsed < EXPORT_TIME, "the export took {elapsed:?}");
    if let Some(peak) = peak {
        let times = peak as f64 / size as f64;
        assert!(times < EXPORT_MEMORY, "the export held {times:.2} times the weights");
    }
    let graph = at("bundle").join("onnx/full.onnx");
    let file = std::fs::metadata(&graph).unwrap().len();
    assert!(file.abs_diff(size) < size / 100, "one self-contained file: {file} bytes for weights of {size}");

    counts_multiply_adds(&at("bundle"), &config);

    let inputs = models::rows(&config, Task::Match, Variant::Full, 2, 16);
    tensors::write(&at("in.safetensors"), &inputs).unwrap();
    let expected = models::burn_outputs(&model, &inputs);
    drop(model);
    for engine in engines::available() {
        run(engine.kind().name(), folder.path());
        let found = tensors::read(&at("out.safetensors")).unwrap();
        for name in ["logits", "pooled"] {
            let difference = max_difference(expected[name].as_f32().unwrap(), found[name].as_f32().unwrap());
            assert!(difference <= tolerance::ENGINE, "{}: `{name}` differs by {difference:e}", engine.kind());
        }
    }
}

fn run(engine: &str, folder: &Path) {
    succeed(
        program("mbsd")
            .args(["run", "--variant", "full", "--engine", engine, "--bundle"])
            .arg(folder.join("bundle"))
            .arg("--inputs")
            .arg(folder.join("in.safetensors"))
            .arg("--outputs")
            .arg(folder.join("out.safetensors")),
    );
}
