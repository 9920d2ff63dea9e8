//! Runs that cannot start or go on say why.

use burn::tensor::Device;
use mbsd_train::{Run, Span, TrainError, train};

use crate::catalogue::{Catalogue, alone};

fn parse(catalogue: &Catalogue, task: &str, change: &str) -> String {
    let changes = [change.to_owned()];
    Run::from_toml(&catalogue.toml(task, "out"), "run.toml", &changes).unwrap_err().to_string()
}

#[test]
fn a_wrong_run_file_is_refused_before_anything_starts() {
    let catalogue = Catalogue::new(1, 1);
    for (task, change, message) in [
        ("match", "training.epoch=3", "unknown field `epoch`"),
        ("match", "training.epochs=0", "training.epochs: 0 is too few"),
        ("match", "optimizer.learning_rate=0", "optimizer.learning_rate: 0 is not between 0 and 1"),
        ("match", "optimizer.name=sgd", "unknown variant `sgd`"),
        ("match", "training.without_text=0.9", "training.without_text + training.without_image"),
        ("match", "model.num_attention_heads=5", "5 heads do not divide 64 hidden units"),
        ("match", "data.train=/no/such/file.parquet", "cannot read /no/such/file.parquet"),
        ("match", "objective=classification", "`classification` needs the table [classification]"),
        ("match", "objective=alignment", "`alignment` needs the table [alignment]"),
        ("match", "output", "expected key=value"),
        ("match", "data.train=${MBSD_NOT_SET}/x", "MBSD_NOT_SET is not set"),
        ("classification", "objective=match", "`match` needs the table [match]"),
    ] {
        let error = parse(&catalogue, task, change);
        assert!(error.contains(message), "{change}: {error}");
    }
    assert!(!catalogue.path("out").exists());
}

#[test]
fn bad_rows_are_counted_and_named_up_to_a_limit() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 20);
    let path = catalogue.path("train.jsonl");
    let mut lines = std::fs::read_to_string(&path).unwrap();
    std::fs::write(catalogue.path("broken.png"), b"<html>").unwrap();
    lines.push_str("{\"id\": \"broken\", \"title\": \"wool hat\", \"image\": \"broken.png\", \"colour\": \"red\", \"material\": \"wool\"}\n");
    lines.push_str("{\"id\": \"absent\", \"title\": \"wool hat\", \"image\": \"absent.png\", \"colour\": \"red\", \"material\": \"wool\"}\n");
    lines.push_str("not json\n");
    std::fs::write(&path, lines).unwrap();
    let devices = [Device::flex()];
    let run = catalogue.run("match", "out", &["training.epochs=1"]);
    train(&run, Span::default(), &devices).unwrap();

    let strict = catalogue.run("match", "strict", &["data.max_bad_rows=0.01"]);
    let error = train(&strict, Span::default(), &devices).unwrap_err();
    assert!(matches!(error, TrainError::BadRows { bad: 3, rows: 63, .. }), "{error}");
    assert!(error.to_string().contains("row 61 (id broken)"), "{error}");
}

#[test]
fn a_run_is_neither_overwritten_nor_continued_by_another() {
    let _alone = alone();
    let catalogue = Catalogue::new(40, 20);
    let devices = [Device::flex()];
    let run = |changes: &[&str]| catalogue.run("match", "out", changes);
    train(&run(&[]), Span { stop_after: Some(1), ..Span::default() }, &devices).unwrap();
    let error = train(&run(&[]), Span::default(), &devices).unwrap_err().to_string();
    assert!(error.contains("use --resume"), "{error}");
    let other = run(&["optimizer.learning_rate=2e-3"]);
    let error = train(&other, Span { resume: true, ..Span::default() }, &devices).unwrap_err().to_string();
    assert!(error.contains("another run file"), "{error}");
}

#[test]
fn data_without_anything_to_learn_are_an_error() {
    let catalogue = Catalogue::new(40, 20);
    std::fs::write(catalogue.path("tags.txt"), "Colour:mauve\n").unwrap();
    let error = train(&catalogue.run("match", "out", &[]), Span::default(), &[Device::flex()]).unwrap_err();
    assert!(error.to_string().contains("no product has a value of the tags"), "{error}");
    std::fs::write(catalogue.path("tags.txt"), "Weight:heavy\n").unwrap();
    let error = train(&catalogue.run("match", "out", &[]), Span::default(), &[Device::flex()]).unwrap_err();
    assert!(error.to_string().contains("`Weight:heavy` has no column in match.attributes"), "{error}");
}
