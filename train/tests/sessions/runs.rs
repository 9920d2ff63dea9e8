//! Runs that succeed.

use burn::tensor::Device;
use mbsd_spec::{Config, Task, Variant};
use mbsd_train::checkpoint::read_parts;
use mbsd_train::{Span, train};

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
    let state = train(&run, Span::default(), &[Device::flex()]).unwrap();
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
    let state = train(&catalogue.run("classification", "out", &changes), Span::default(), &[Device::flex()]).unwrap();
    let accuracy = |variant| state.validation[&variant].accuracy;
    assert!(accuracy(Variant::Full) > 0.9, "{state:?}");
    assert!(accuracy(Variant::Text) < 0.6, "the title does not tell the colour: {state:?}");
    let (config, _, labels) = read_parts(&catalogue.path("out/best")).unwrap();
    assert_eq!(labels.unwrap(), ["blue", "green", "red"]);
    let (model, _) = mbsd_net::load(catalogue.path("out/best"), &config, None, &Device::flex()).unwrap();
    assert_eq!(model.head(), mbsd_net::Head::Classification { classes: 3 });
}

fn logged(catalogue: &Catalogue, output: &str) -> Vec<serde_json::Value> {
    let text = String::from_utf8(bytes(catalogue.path(output).join("metrics.jsonl"))).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["loss"].is_number()).collect()
}

#[test]
fn batches_of_one_step_weigh_as_much_as_they_hold() {
    let _alone = alone();
    let catalogue = Catalogue::new(24, 20);
    let whole = ["training.without_text=0", "training.without_image=0", "training.epochs=1", "training.log_every=1"];
    let exact = ["model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0"];
    let first = |objective: &str, output: &str, changes: &[&str]| {
        let changes: Vec<&str> = whole.iter().chain(&exact).chain(changes).copied().collect();
        let state = train(&catalogue.run(objective, output, &changes), Span::default(), &[Device::flex()]).unwrap();
        assert_eq!((state.step, state.steps), (1, 1));
        logged(&catalogue, output).remove(0)
    };
    // 24 rows at once, and as 16 and 8.
    let one = first("match", "one", &["training.batch_size=24"]);
    let parts = first("match", "parts", &["optimizer.accumulation=2"]);
    for what in ["loss", "gradient_norm"] {
        let [one, parts] = [&one, &parts].map(|line| line[what].as_f64().unwrap());
        assert!((one - parts).abs() < 1e-5 * one, "{what}: {one} at once, {parts} in parts");
    }
    let line = first("stage1", "stage1", &["optimizer.accumulation=2"]);
    let sum: f64 = line["terms"].as_object().unwrap().values().map(|term| term.as_f64().unwrap()).sum();
    assert!((line["loss"].as_f64().unwrap() - sum).abs() < 1e-5, "{line}");
}

#[test]
fn the_steps_of_a_run_are_known_before_it() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 20);
    let path = catalogue.path("train.jsonl");
    let rows = std::fs::read_to_string(&path).unwrap();
    // Half of the products have no image, so that there is nothing in some batches of images.
    let without = (rows.lines().enumerate()).map(|(row, line)| match row % 2 {
        0 => line.replace(&format!("train-{row}.png"), "") + "\n",
        _ => line.to_owned() + "\n",
    });
    std::fs::write(&path, without.collect::<String>()).unwrap();
    let changes = ["training.without_text=0.8", "training.batch_size=2", "optimizer.accumulation=2"];
    let state = train(&catalogue.run("match", "images", &changes), Span::default(), &[Device::flex()]).unwrap();
    assert!(state.steps < 2 * 15, "{}", state.steps);
    assert_eq!(state.step, state.steps);
    // An attribute of one value has no negatives: rows differ from epoch to epoch.
    std::fs::write(&path, rows.replace("\"cotton\"", "\"wool\"")).unwrap();
    let changes = ["training.batch_size=1", "training.epochs=3"];
    let state = train(&catalogue.run("match", "wool", &changes), Span::default(), &[Device::flex()]).unwrap();
    assert!(state.steps < 3 * 60, "{}", state.steps);
    assert_eq!(state.step, state.steps);
}

#[test]
fn a_resumed_run_ends_with_the_same_weights() {
    let catalogue = Catalogue::new(100, 40);
    let device = Device::flex();
    // A process of its own per run: through the command line, and with random numbers that no other test draws from.
    let run = |objective: &str, output: &str, extra: &[&str]| {
        let config = catalogue.path(&format!("{output}.toml"));
        std::fs::write(&config, catalogue.toml(objective, output)).unwrap();
        let command = std::process::Command::new(env!("CARGO_BIN_EXE_mbsd-train"))
            .arg(if objective.starts_with("stage") { objective } else { "finetune" })
            .arg("--config")
            .arg(&config)
            .args(["--set", "training.epochs=3", "--set", "optimizer.accumulation=2", "--set", "training.crop=0.8"])
            .args(extra)
            .output()
            .unwrap();
        assert!(command.status.success(), "{}", String::from_utf8_lossy(&command.stderr));
        String::from_utf8_lossy(&command.stderr).into_owned()
    };
    let weights = |output: &str| bytes(catalogue.path(output).join("last/model.safetensors"));
    let log = |output: &str| {
        let text = String::from_utf8(bytes(catalogue.path(output).join("metrics.jsonl"))).unwrap();
        let rate = |line: &str| {
            let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
            value.as_object_mut().unwrap().remove("samples_per_second");
            value
        };
        text.lines().map(rate).collect::<Vec<_>>()
    };
    let one_way =
        ["--set", "model.attention=one-way", "--set", "model.title_position=10", "--set", "match.tags_per_product=2"];
    run("match", "teacher", &[]);
    let teacher = format!("teacher.checkpoint={}", catalogue.path("teacher/best").display());
    for (name, objective, changes) in [
        ("match", "match", &[][..]),
        ("stage1", "stage1", &[]),
        ("stage2", "stage2", &[]),
        ("one-way", "match", &one_way),
        ("taught", "match", &["--set", &teacher]),
    ] {
        let run = |objective: &str, output: &str, extra: &[&str]| run(objective, output, &[changes, extra].concat());
        let [whole, again, parts] = ["whole", "again", "parts"].map(|part| format!("{name}-{part}"));
        run(objective, &whole, &[]);
        run(objective, &again, &[]);
        assert_eq!(weights(&whole), weights(&again), "{name}: a seed decides the weights");
        // In the middle of the first epoch, at its last step before it is validated, after it, and in the middle of the last.
        run(objective, &parts, &["--resume", "--stop-at-step", "2"]);
        run(objective, &parts, &["--resume", "--stop-at-step", "4"]);
        run(objective, &parts, &["--resume", "--stop-after", "1"]);
        // What a kill between the two renames of a checkpoint leaves.
        std::fs::rename(catalogue.path(&parts).join("last"), catalogue.path(&parts).join(".last.old")).unwrap();
        run(objective, &parts, &["--resume", "--stop-at-step", "9"]);
        run(objective, &parts, &["--resume"]);
        assert_eq!(weights(&whole), weights(&parts), "{name}: a session's end changes nothing");
        assert_eq!(log(&whole), log(&parts));
        assert!(run(objective, &parts, &["--resume"]).contains("finished already"));
    }
    let config = Config::from_file(catalogue.path("match-whole/last/config.json")).unwrap();
    mbsd_net::load(catalogue.path("match-whole/last"), &config, Some(Task::Match), &device).unwrap();
}

#[test]
fn checkpoints_come_by_steps_and_the_newest_are_kept() {
    let _alone = alone();
    let catalogue = Catalogue::new(100, 20);
    let changes = ["training.epochs=2", "training.checkpoint_steps=2", "training.keep=3"];
    train(&catalogue.run("match", "out", &changes), Span::default(), &[Device::flex()]).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(catalogue.path("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    // 7 batches an epoch: checkpoints after steps 2, 4, 6, 7, 8, 10, 12 and 14.
    assert_eq!(names, [".lock", "best", "curves.html", "last", "metrics.jsonl", "step-10", "step-12"]);
    let state = mbsd_train::checkpoint::State::read(&catalogue.path("out/step-10")).unwrap();
    assert_eq!((state.step, state.epoch, state.batch), (10, 1, 3));
}
