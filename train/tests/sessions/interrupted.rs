//! Runs that end at any moment.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use mbsd_spec::Variant;
use mbsd_train::checkpoint::State;
use mbsd_train::{Span, TrainError, train};

use crate::catalogue::{Catalogue, alone};

const RESUME: Span = Span { resume: true, stop_after: None, stop_at_step: None };

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn killed_at_any_moment_it_ends_as_if_it_were_not() {
    let catalogue = Catalogue::new(120, 60);
    let start = |output: &str| {
        let config = catalogue.path(&format!("{output}.toml"));
        std::fs::write(&config, catalogue.toml("match", output)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mbsd-train"));
        command.args(["finetune", "--resume", "--config"]).arg(&config);
        for change in ["training.epochs=4", "training.checkpoint_steps=1", "training.keep=2", "training.log_every=1"] {
            command.args(["--set", change]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let begun = Instant::now();
    assert!(start("whole").wait().unwrap().success());
    let whole = begun.elapsed();
    // Moments spread over starts of the run, checkpoints, validations: each start is killed a little later than the one before.
    let (mut kills, mut finished) = (0, false);
    while !finished && kills < 40 {
        let mut running = start("killed");
        std::thread::sleep(whole.mul_f64(0.15 + 0.03 * f64::from(kills)).max(Duration::from_millis(20)));
        finished = running.try_wait().unwrap().is_some_and(|status| status.success());
        if !finished {
            kills += 1;
            running.kill().unwrap();
            running.wait().unwrap();
        }
    }
    if !finished {
        assert!(start("killed").wait().unwrap().success());
    }
    assert!(kills >= 2, "the run was over before it was killed");
    let folders = |output: &str| {
        let entries = std::fs::read_dir(catalogue.path(output)).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with(".new"));
        names.sort();
        names
    };
    assert_eq!(folders("whole"), folders("killed"), "after {kills} kills");
    for file in ["last/model.safetensors", "last/optimizer.safetensors", "best/model.safetensors"] {
        let [whole, killed] = ["whole", "killed"].map(|output| bytes(&catalogue.path(output).join(file)));
        assert!(whole == killed, "{file} differs after {kills} kills");
    }
    let log = |output: &str| {
        let text = String::from_utf8(bytes(&catalogue.path(output).join("metrics.jsonl"))).unwrap();
        let line = |line: &str| {
            let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
            value.as_object_mut().unwrap().remove("samples_per_second");
            value
        };
        text.lines().map(line).collect::<Vec<_>>()
    };
    assert_eq!(log("whole"), log("killed"), "after {kills} kills");
}

#[test]
fn a_checkpoint_set_aside_is_put_back_and_never_overwritten() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 30);
    let devices = [Device::flex()];
    let run = catalogue.run("match", "out", &["training.epochs=2"]);
    let first = train(&run, Span { stop_after: Some(1), ..RESUME }, &devices).unwrap();
    // What a kill between the two renames of a checkpoint leaves.
    for name in ["best", "last"] {
        std::fs::rename(catalogue.path("out").join(name), catalogue.path("out").join(format!(".{name}.old"))).unwrap();
    }
    let error = train(&run, Span::default(), &devices).unwrap_err().to_string();
    assert!(error.contains("use --resume"), "{error}");
    assert_eq!(State::read(&catalogue.path("out/last")).unwrap(), first);
    assert!(catalogue.path("out/best/model.safetensors").exists());
    // A stop that is reached is reached, and takes no further step.
    let stop = Span { stop_at_step: Some(first.step), ..RESUME };
    assert_eq!(train(&run, stop, &devices).unwrap(), first);
    train(&run, RESUME, &devices).unwrap();
}

#[test]
fn a_kept_checkpoint_survives_a_kill_before_it_has_its_name() {
    let _alone = alone();
    let catalogue = Catalogue::new(64, 30);
    let run = catalogue.run("match", "out", &["training.epochs=2", "training.checkpoint_steps=1", "training.keep=2"]);
    train(&run, Span { stop_at_step: Some(3), ..RESUME }, &[Device::flex()]).unwrap();
    std::fs::rename(catalogue.path("out/step-2"), catalogue.path("out/.last.old")).unwrap();
    train(&run, Span { stop_at_step: Some(3), ..RESUME }, &[Device::flex()]).unwrap();
    assert_eq!(State::read(&catalogue.path("out/step-2")).unwrap().step, 2);
    assert!(!catalogue.path("out/.last.old").exists());
    // What a kill in the midst of its removal may leave.
    std::fs::create_dir(catalogue.path("out/.last.old")).unwrap();
    train(&run, Span { stop_at_step: Some(4), ..RESUME }, &[Device::flex()]).unwrap();
    let kept = |step: usize| catalogue.path(&format!("out/step-{step}")).exists();
    assert_eq!([2, 3].map(kept), [false, true]);
}

#[test]
fn what_a_run_started_from_is_not_needed_to_go_on() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 30);
    train(&catalogue.run("stage1", "stage1", &["training.epochs=1"]), Span::default(), &[Device::flex()]).unwrap();
    let start = format!("model.checkpoint={}", catalogue.path("stage1/best").display());
    let run = |output: &str| catalogue.run("match", output, &["training.epochs=2", &start]);
    let whole = train(&run("whole"), Span::default(), &[Device::flex()]).unwrap();
    train(&run("parts"), Span { stop_after: Some(1), ..RESUME }, &[Device::flex()]).unwrap();
    std::fs::remove_dir_all(catalogue.path("stage1")).unwrap();
    let parts = train(&run("parts"), RESUME, &[Device::flex()]).unwrap();
    assert_eq!(whole.validation, parts.validation);
    let error = catalogue_error(&catalogue, &start);
    assert!(error.starts_with("model.checkpoint: cannot read"), "{error}");
}

/// What is wrong with a run that has not begun.
fn catalogue_error(catalogue: &Catalogue, change: &str) -> String {
    mbsd_train::Run::from_toml(&catalogue.toml("match", "new"), "run.toml", &[change.to_owned()])
        .unwrap_err()
        .to_string()
}

#[test]
fn a_run_goes_on_with_the_rows_it_began_with() {
    let _alone = alone();
    let catalogue = Catalogue::new(64, 30);
    let run = catalogue.run("match", "out", &["training.epochs=2"]);
    let devices = [Device::flex()];
    train(&run, Span { stop_at_step: Some(3), ..RESUME }, &devices).unwrap();
    let rows = std::fs::read_to_string(catalogue.path("train.jsonl")).unwrap();
    let half: String = rows.lines().take(32).flat_map(|line| [line, "\n"]).collect();
    std::fs::write(catalogue.path("train.jsonl"), half).unwrap();
    let error = train(&run, RESUME, &devices).unwrap_err();
    assert!(matches!(error, TrainError::Resume { .. }), "{error}");
    assert!(error.to_string().contains("began with 64 products, and there are 32 now"), "{error}");
    // A few may be lost, as images may.
    let most: String = rows.lines().take(62).flat_map(|line| [line, "\n"]).collect();
    std::fs::write(catalogue.path("train.jsonl"), most).unwrap();
    train(&run, Span { stop_at_step: Some(5), ..RESUME }, &devices).unwrap();
    std::fs::write(catalogue.path("train.jsonl"), rows).unwrap();
    train(&run, RESUME, &devices).unwrap();
    // Without its last checkpoint it cannot go on, and its best one is not overwritten.
    std::fs::remove_dir_all(catalogue.path("out/last")).unwrap();
    for span in [Span::default(), RESUME] {
        let error = train(&run, span, &devices).unwrap_err().to_string();
        assert!(error.contains("it holds checkpoints of a run, but not `last`"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn the_files_of_a_checkpoint_are_as_open_as_each_other() {
    use std::os::unix::fs::PermissionsExt;
    let _alone = alone();
    let catalogue = Catalogue::new(30, 30);
    train(&catalogue.run("match", "out", &["training.epochs=1"]), Span::default(), &[Device::flex()]).unwrap();
    let files = std::fs::read_dir(catalogue.path("out/last")).unwrap().map(|file| file.unwrap());
    let modes: std::collections::BTreeSet<u32> =
        files.map(|file| file.metadata().unwrap().permissions().mode()).collect();
    assert_eq!(modes.len(), 1, "{modes:?}");
}

#[test]
fn one_process_trains_into_a_folder() {
    let _alone = alone();
    let catalogue = Catalogue::new(40, 20);
    let run = catalogue.run("match", "out", &["training.epochs=1"]);
    std::fs::create_dir_all(&run.output).unwrap();
    let held = std::fs::File::create(run.output.join(".lock")).unwrap();
    held.lock().unwrap();
    let error = train(&run, RESUME, &[Device::flex()]).unwrap_err().to_string();
    assert!(error.contains("another process trains into it"), "{error}");
    drop(held);
    train(&run, RESUME, &[Device::flex()]).unwrap();
}

#[test]
fn a_validation_loss_that_is_no_number_ends_a_run_that_can_still_be_read() {
    let _alone = alone();
    let catalogue = Catalogue::new(48, 30);
    let run = catalogue.run("match", "out", &["training.epochs=2"]);
    // Three batches of 16: the epoch is trained, and still to be validated.
    train(&run, Span { stop_at_step: Some(3), ..RESUME }, &[Device::flex()]).unwrap();
    let (last, kept) = (catalogue.path("out/last"), catalogue.path("kept"));
    let state = State::read(&last).unwrap();
    assert_eq!((state.step, state.epoch, state.batch), (3, 0, 3));
    std::fs::rename(&last, &kept).unwrap();
    std::fs::create_dir(&last).unwrap();
    for entry in std::fs::read_dir(&kept).unwrap() {
        let path = entry.unwrap().path();
        let mut content = bytes(&path);
        if path.ends_with("model.safetensors") {
            let end = content.len();
            content[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        std::fs::write(last.join(path.file_name().unwrap()), content).unwrap();
    }
    let error = train(&run, RESUME, &[Device::flex()]).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { what: "the validation loss", step: 3, .. }), "{error}");
    assert!(error.to_string().ends_with("Try a lower optimizer.learning_rate or clip_norm, with another output"));
    assert!(std::fs::read_to_string(catalogue.path("out/diverged.txt")).unwrap().contains("the validation loss"));
    assert_eq!(State::read(&last).unwrap(), state, "the checkpoint before it can still be read");
    assert!(!catalogue.path("out/best").exists());
    std::fs::remove_dir_all(&last).unwrap();
    std::fs::rename(&kept, &last).unwrap();
    assert_eq!(train(&run, RESUME, &[Device::flex()]).unwrap().epoch, 2);
    assert!(!catalogue.path("out/diverged.txt").exists());
}

#[test]
fn the_best_checkpoint_is_that_of_what_is_trained() {
    let _alone = alone();
    let catalogue = Catalogue::new(120, 90);
    for (variant, changes) in [
        (Variant::Image, ["training.without_text=1", "training.without_image=0"]),
        (Variant::Text, ["training.without_text=0", "training.without_image=1"]),
    ] {
        let changes: Vec<&str> = changes.into_iter().chain(["training.epochs=4"]).collect();
        let run = catalogue.run("match", variant.name(), &changes);
        let state = train(&run, Span::default(), &[Device::flex()]).unwrap();
        let log = std::fs::read_to_string(run.output.join("metrics.jsonl")).unwrap();
        let areas = log.lines().filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["validation"][variant.name()]["roc_auc"].as_f64()
        });
        let areas: Vec<f64> = areas.collect();
        assert_eq!(areas.len(), 4);
        assert_eq!(state.best, areas.iter().copied().reduce(f64::max), "{variant}: {areas:?}");
    }
}
