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
        ("match", "data.train=/no/such/file.parquet", "data.train: cannot read /no/such/file.parquet"),
        ("match", "match.tags=/no/such/tags.txt", "match.tags: cannot read /no/such/tags.txt"),
        ("match", "data.max_text_tokens=17", "17 is not between 3 and 16"),
        ("match", "objective=classification", "`classification` needs the table [classification]"),
        ("match", "objective=alignment", "`alignment` needs the table [alignment]"),
        ("match", "output", "expected key=value"),
        ("match", "training.checkpoint_minutes=inf", "training.checkpoint_minutes: it must be a number above 0"),
        ("match", "data.validation_products=0", "data.validation_products: 0 is too few"),
        (
            "match",
            "data.max_text_tokens=2",
            "data.max_text_tokens: configuration field `max_text_tokens`: 2 is not between 3 and",
        ),
        ("stage2", "stage2.pairs_per_epoch=0", "stage2.pairs_per_epoch: 0 is too few"),
        ("stage2", "stage2.query_column=query", "it needs pairs and validation_pairs, or query_column"),
        ("stage2", "stage2.label_column=label", "it goes with query_column"),
        ("match", "match.tag_column=tag", "it needs tags and attributes, or pairs and validation_pairs, or tag_column"),
        ("match", "match.label_column=label", "it goes with tag_column"),
        ("alignment", "alignment.source_columns=[\"a\", \"b\"]", "or source_columns and target_columns"),
        ("alignment", "alignment.label_column=label", "it goes with source_columns"),
        ("match", "data.ids=none", "unknown variant `none`"),
        ("match", "data.train=/no/such/*.parquet", "no file matches this pattern"),
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
    assert!(error.contains("`optimizer.learning_rate` was 0.001 and is 0.002 now"), "{error}");
    // What changes nothing in the outcome may change.
    let same =
        run(&["data.cache_mib=1", "data.max_bad_rows=0.5", "training.checkpoint_steps=3", "training.log_every=1"]);
    train(&same, Span { resume: true, stop_after: Some(1), ..Span::default() }, &devices).unwrap();
}

#[test]
fn a_file_that_was_cut_is_no_whole_one() {
    let _alone = alone();
    let catalogue = Catalogue::new(10, 40);
    let train_with = |name: &str, share: f64| {
        catalogue.write_packed(name, 20_000, share);
        let change = format!("data.train={}", catalogue.path(name).display());
        let run = catalogue.run("classification", "out", &[&change, "data.max_bad_rows=0.9"]);
        train(&run, Span { stop_at_step: Some(1), ..Span::default() }, &[Device::flex()])
    };
    let error = train_with("train.csv.gz", 0.9).unwrap_err().to_string();
    assert!(error.contains("train.csv.gz: row ") && error.contains("cannot be read from here on"), "{error}");
    train_with("train.csv.gz", 1.0).unwrap();
}

#[test]
fn weights_come_with_their_vocabulary() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 20);
    let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwool\nhat\nc\n##o\n";
    std::fs::write(catalogue.path("vocab.txt"), vocabulary).unwrap();
    train(&catalogue.run("stage1", "stage1", &["training.epochs=1"]), Span::default(), &[Device::flex()]).unwrap();
    let best = catalogue.path("stage1/best").display().to_string();
    let error = parse(&catalogue, "match", &format!("model.weights={best}/model.safetensors"));
    assert!(error.contains("tokenizer.file: model.weights belong to a vocabulary"), "{error}");
    let own = format!("tokenizer.file={best}/tokenizer.json");
    let weights = format!("model.weights={best}/model.safetensors");
    let run = |output: &str, changes: &[&str]| {
        let changes: Vec<&str> = changes.iter().copied().chain(["training.epochs=1"]).collect();
        train(&catalogue.run("match", output, &changes), Span::default(), &[Device::flex()])
    };
    run("weights", &[&own, &weights]).unwrap();
    let narrower = [format!("model.checkpoint={best}"), "model.hidden_size=32".to_owned()];
    let error = mbsd_train::Run::from_toml(&catalogue.toml("match", "narrower"), "run.toml", &narrower).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("model.hidden_size: 32, and the weights of model.checkpoint are of 64"), "{error}");
    let (checkpoint, other) =
        (format!("model.checkpoint={best}"), format!("tokenizer.file={}", catalogue.path("vocab.txt").display()));
    run("own", &[&checkpoint, &own]).unwrap();
    let error = run("other", &[&checkpoint, &other]).unwrap_err().to_string();
    assert!(error.contains("is not the tokenizer of model.checkpoint"), "{error}");
}

#[test]
fn labels_that_are_no_class_are_bad_rows() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 30);
    std::fs::write(catalogue.path("labels.txt"), "red\ngreen\n").unwrap();
    let labels = format!("classification.labels={}", catalogue.path("labels.txt").display());
    let run = catalogue.run("classification", "out", &[&labels]);
    let error = train(&run, Span::default(), &[Device::flex()]).unwrap_err();
    assert!(matches!(error, TrainError::BadRows { bad: 20, rows: 60, .. }), "{error}");
    assert!(error.to_string().contains("`blue` is none of the classes"), "{error}");
    std::fs::write(catalogue.path("labels.txt"), "red\ngreen\nred\n").unwrap();
    let error = train(&catalogue.run("classification", "out", &[&labels]), Span::default(), &[Device::flex()]);
    assert!(error.unwrap_err().to_string().contains("has the class `red` twice"));
    std::fs::write(catalogue.path("labels.txt"), "red\ngreen\n").unwrap();
    let lenient = catalogue.run("classification", "out", &[&labels, "data.max_bad_rows=0.4", "training.epochs=1"]);
    let state = train(&lenient, Span::default(), &[Device::flex()]).unwrap();
    assert_eq!(state.validation[&mbsd_spec::Variant::Full].rows, 20);
}

#[test]
fn pairs_of_products_left_out_are_left_out() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 60);
    let state = |changes: &[&str], output: &str| {
        let changes: Vec<&str> = changes.iter().copied().chain(["training.epochs=1"]).collect();
        train(&catalogue.run("stage2", output, &changes), Span::default(), &[Device::flex()]).unwrap()
    };
    let rows = |state: &mbsd_train::checkpoint::State| state.validation[&mbsd_spec::Variant::Full].rows;
    assert_eq!(rows(&state(&[], "all")), 120);
    assert_eq!(rows(&state(&["data.validation_products=20"], "some")), 40);
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

#[test]
fn a_run_of_images_needs_some() {
    let _alone = alone();
    let catalogue = Catalogue::new(30, 20);
    let strip = |name: &str| {
        let path = catalogue.path(name);
        let rows = std::fs::read_to_string(&path).unwrap();
        let without = rows.lines().map(|line| {
            let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
            row.as_object_mut().unwrap().remove("image");
            format!("{row}\n")
        });
        std::fs::write(path, without.collect::<String>()).unwrap();
    };
    let refused = |change: &str| {
        let run = catalogue.run("match", "out", &[change, "training.without_image=0"]);
        let error = train(&run, Span::default(), &[Device::flex()]).unwrap_err().to_string();
        assert!(error.contains("no product of a row has an image"), "{change}: {error}");
        error
    };
    strip("validation.jsonl");
    assert!(refused("training.without_text=1").contains("validation.jsonl"));
    strip("train.jsonl");
    for change in ["training.without_text=1", "model.architecture=vit"] {
        assert!(refused(change).contains("train.jsonl"), "{change}");
    }
}

#[test]
fn a_column_that_somebody_named_must_be_there() {
    let catalogue = Catalogue::new(10, 10);
    for (change, column) in [("data.title_column=name", "name"), ("data.image_column=picture", "picture")] {
        let error = train(&catalogue.run("match", "out", &[change]), Span::default(), &[Device::flex()]).unwrap_err();
        assert!(error.to_string().contains(&format!("no column `{column}`")), "{error}");
    }
}

#[test]
fn a_query_that_is_too_long_is_a_bad_row() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 30);
    let path = catalogue.path("stage2-train.jsonl");
    let pairs = std::fs::read_to_string(&path).unwrap();
    let long = "wool ".repeat(40);
    std::fs::write(&path, format!("{pairs}{{\"product\": \"train0\", \"query\": \"{long}\", \"label\": 1}}\n"))
        .unwrap();
    let error = train(&catalogue.run("stage2", "strict", &["data.max_bad_rows=0"]), Span::default(), &[Device::flex()]);
    let error = error.unwrap_err();
    assert!(matches!(error, TrainError::BadRows { bad: 1, rows: 121, .. }), "{error}");
    assert!(
        error.to_string().contains("stage2-train.jsonl") && error.to_string().contains("product train0"),
        "{error}"
    );
    let run = catalogue.run("stage2", "out", &["training.epochs=1"]);
    assert_eq!(train(&run, Span::default(), &[Device::flex()]).unwrap().step, 8, "120 rows are left");
}

#[test]
fn a_vocabulary_is_not_made_of_validation_queries() {
    let _alone = alone();
    let catalogue = Catalogue::new(30, 30);
    for (split, word) in [("train", "brocade"), ("validation", "zibeline")] {
        let path = catalogue.path(&format!("stage2-{split}.jsonl"));
        let pairs = std::fs::read_to_string(&path).unwrap().replace("wool", word);
        std::fs::write(&path, pairs).unwrap();
    }
    train(&catalogue.run("stage2", "out", &["training.epochs=1"]), Span::default(), &[Device::flex()]).unwrap();
    let vocabulary = std::fs::read_to_string(catalogue.path("out/last/tokenizer.json")).unwrap();
    assert!(vocabulary.contains("\"brocade\"") && !vocabulary.contains("\"zibeline\""));
}
