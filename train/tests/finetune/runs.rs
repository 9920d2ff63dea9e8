//! Runs that succeed.

use burn::tensor::Device;
use mbsd_spec::{Config, Task, Variant};
use mbsd_train::checkpoint::read_parts;
use mbsd_train::{Span, finetune};

use crate::catalogue::{Catalogue, alone};

fn bytes(path: std::path::PathBuf) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn match_learns_what_is_seen_and_what_is_read() {
    let _alone = alone();
    let catalogue = Catalogue::new(600, 240);
    let changes = ["training.epochs=16", "model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0"];
    let run = catalogue.run("match", "out", &changes);
    let state = finetune(&run, Span::default(), &Device::flex()).unwrap();
    let area = |variant| state.validation[&variant].roc_auc.unwrap();
    let (full, text, image) = (area(Variant::Full), area(Variant::Text), area(Variant::Image));
    // Half of the rows ask for the colour, which only the image tells, half for the material, which only the title does.
    assert!(full > 0.9, "full {full}, text {text}, image {image}");
    assert!(full > text + 0.05 && full > image + 0.05, "full {full}, text {text}, image {image}");

    let best = catalogue.path("out/best");
    let (config, tokenizer, labels) = read_parts(&best).unwrap();
    assert_eq!((config.hidden_size, config.image_size, labels), (64, 32, None));
    assert_eq!(config.vocab_size, tokenizer.vocab_size());
    let (_, report) = mbsd_net::load(&best, &config, Some(Task::Match), &Device::flex()).unwrap();
    assert!(report.unexpected.is_empty() && report.missing.is_empty());
    assert!(!best.join("optimizer.safetensors").exists() && catalogue.path("out/last/optimizer.safetensors").exists());
    let log = String::from_utf8(bytes(catalogue.path("out/metrics.jsonl"))).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("validation")).count(), 16);
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn classification_learns_and_keeps_its_labels() {
    let _alone = alone();
    let catalogue = Catalogue::new(300, 90);
    let changes =
        ["training.epochs=5", "optimizer.name=lamb", "optimizer.learning_rate=1e-2", "training.label_smoothing=0.05"];
    let state = finetune(&catalogue.run("classification", "out", &changes), Span::default(), &Device::flex()).unwrap();
    let accuracy = |variant| state.validation[&variant].accuracy;
    assert!(accuracy(Variant::Full) > 0.9, "{state:?}");
    assert!(accuracy(Variant::Text) < 0.6, "the title does not tell the colour: {state:?}");
    let (config, _, labels) = read_parts(&catalogue.path("out/best")).unwrap();
    assert_eq!(labels.unwrap(), ["blue", "green", "red"]);
    let (model, _) = mbsd_net::load(catalogue.path("out/best"), &config, None, &Device::flex()).unwrap();
    assert_eq!(model.head(), mbsd_net::Head::Classification { classes: 3 });
}

#[test]
fn a_resumed_run_ends_with_the_same_weights() {
    let catalogue = Catalogue::new(100, 40);
    let device = Device::flex();
    // A process of its own per run: through the command line, and with random numbers that no other test draws from.
    let train = |output: &str, extra: &[&str]| {
        let config = catalogue.path(&format!("{output}.toml"));
        std::fs::write(&config, catalogue.toml("match", output)).unwrap();
        let command = std::process::Command::new(env!("CARGO_BIN_EXE_mbsd-train"))
            .arg("finetune")
            .arg("--config")
            .arg(&config)
            .args(["--set", "training.epochs=3"])
            .args(extra)
            .output()
            .unwrap();
        assert!(command.status.success(), "{}", String::from_utf8_lossy(&command.stderr));
        String::from_utf8_lossy(&command.stderr).into_owned()
    };
    train("whole", &[]);
    train("again", &[]);
    train("parts", &["--resume", "--stop-after", "1"]);
    // What a kill between the two renames of a checkpoint leaves.
    std::fs::rename(catalogue.path("parts/last"), catalogue.path("parts/.last.old")).unwrap();
    train("parts", &["--resume"]);
    let weights = |output: &str| bytes(catalogue.path(&format!("{output}/last/model.safetensors")));
    assert_eq!(weights("whole"), weights("again"), "a seed decides the weights");
    assert_eq!(weights("whole"), weights("parts"), "a session's end changes nothing");
    let log = |output: &str| {
        let text = String::from_utf8(bytes(catalogue.path(&format!("{output}/metrics.jsonl")))).unwrap();
        let rate = |line: &str| {
            let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
            value.as_object_mut().unwrap().remove("samples_per_second");
            value
        };
        text.lines().map(rate).collect::<Vec<_>>()
    };
    assert_eq!(log("whole"), log("parts"));
    assert!(train("parts", &["--resume"]).contains("finished already"));
    let config = Config::from_file(catalogue.path("whole/last/config.json")).unwrap();
    mbsd_net::load(catalogue.path("whole/last"), &config, Some(Task::Match), &device).unwrap();
}
