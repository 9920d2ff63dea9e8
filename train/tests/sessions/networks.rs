//! The networks that MBSD is compared with, trained by the same loop, and the head that compares products.

use std::fmt::Write as _;

use burn::tensor::Device;
use mbsd_net::{Head, WeightsError, load, load_network};
use mbsd_spec::{Architecture, Variant};
use mbsd_train::checkpoint::{State, read_parts};
use mbsd_train::{Run, Span, train};

use crate::catalogue::{Catalogue, alone};

fn trained(catalogue: &Catalogue, task: &str, output: &str, changes: &[&str]) -> State {
    let changes: Vec<&str> = ["model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0"]
        .iter()
        .chain(changes)
        .copied()
        .collect();
    train(&catalogue.run(task, output, &changes), Span::default(), &[Device::flex()]).unwrap()
}

#[test]
fn each_learns_a_task_from_what_it_reads() {
    let _alone = alone();
    let catalogue = Catalogue::new(300, 90);
    for (architecture, label, variant) in [
        (Architecture::Bert, "material", Variant::Text),
        (Architecture::Vit, "colour", Variant::Image),
        (Architecture::Vilt, "colour", Variant::Full),
    ] {
        let name = format!("{architecture}").to_lowercase();
        let (network, label) = (format!("model.architecture={name}"), format!("classification.label_column={label}"));
        let state = trained(&catalogue, "classification", &name, &["training.epochs=3", &network, &label]);
        assert_eq!(state.validation.keys().copied().collect::<Vec<_>>(), [variant], "{name}");
        assert!(state.validation[&variant].accuracy > 0.9, "{name}: {state:?}");

        let folder = catalogue.path(&format!("{name}/best"));
        let (config, ..) = read_parts(&folder).unwrap();
        let (model, report) = load_network(&folder, &config, None, &Device::flex()).unwrap();
        assert_eq!((model.architecture(), config.architecture), (architecture, architecture));
        assert!(report.missing.is_empty() && report.unexpected.is_empty(), "{name}: {report:?}");
        let error = load(&folder, &config, None, &Device::flex()).unwrap_err();
        assert!(matches!(error, WeightsError::OtherArchitecture { found, .. } if found == architecture), "{error}");
    }
}

#[test]
fn images_are_asked_about_tags() {
    let _alone = alone();
    let catalogue = Catalogue::new(600, 240);
    let state = trained(&catalogue, "match", "vit", &["training.epochs=6", "model.architecture=vit"]);
    // Half of the rows ask for the colour, half for the material, which no image tells.
    let area = state.validation[&Variant::Image].roc_auc.unwrap();
    let accuracy = state.validation[&Variant::Image].accuracy;
    assert!(area > 0.8 && accuracy < 0.85, "{area} {accuracy}");
}

#[test]
fn each_goes_on_where_it_was() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 30);
    for name in ["bert", "vit", "vilt"] {
        let network = format!("model.architecture={name}");
        let run = |output: &str| catalogue.run("alignment", output, &[&network, "training.epochs=2"]);
        let session = |run: &Run, span| train(run, span, &[Device::flex()]).unwrap();
        let whole = session(&run(&format!("{name}-whole")), Span::default());
        let parts = run(&format!("{name}-parts"));
        session(&parts, Span { stop_after: Some(1), ..Span::default() });
        let resumed = session(&parts, Span { resume: true, ..Span::default() });
        assert_eq!(whole.validation, resumed.validation, "{name}");
    }
}

#[test]
fn what_they_cannot_do_is_refused() {
    let catalogue = Catalogue::new(1, 1);
    let folder = catalogue.folder.path().display();
    for (task, changes, message) in [
        ("stage1", vec!["model.architecture=vit".to_owned()], "ViT has no stage1 of its own"),
        ("match", vec!["model.architecture=gpt".to_owned()], "unknown variant `gpt`"),
        (
            "match",
            vec!["model.architecture=vilt".to_owned(), format!("model.weights={folder}/tags.txt")],
            "ViLT does not start from other weights",
        ),
        (
            "match",
            vec!["model.architecture=bert".to_owned(), "training.arithmetic=bf16".to_owned()],
            "BERT is trained in single precision",
        ),
    ] {
        let error = Run::from_toml(&catalogue.toml(task, "out"), "run.toml", &changes).unwrap_err().to_string();
        assert!(error.contains(message), "{changes:?}: {error}");
    }
}

#[test]
fn products_are_compared_by_a_head_that_sees_their_distance() {
    let _alone = alone();
    let catalogue = Catalogue::new(300, 90);
    // Whether two products have one colour: every colour is as often right as wrong on either side.
    for (split, rows) in [("train", 300), ("validation", 90)] {
        let lines = (0..rows).flat_map(|row| [row + 3, row + 1 + row % 2].map(|other| (row, other % rows)));
        let text = lines.fold(String::new(), |mut text, (row, other)| {
            let label = u8::from(row % 3 == other % 3);
            writeln!(text, r#"{{"source": "{split}{row}", "target": "{split}{other}", "label": {label}}}"#).unwrap();
            text
        });
        std::fs::write(catalogue.path(&format!("alignment-{split}.jsonl")), text).unwrap();
    }
    let area = |head: &str| {
        let key = format!("alignment.head={head}");
        let state = trained(&catalogue, "alignment", head, &["training.epochs=10", &key]);
        state.validation[&Variant::Image].roc_auc.unwrap()
    };
    let (comparison, linear) = (area("comparison"), area("linear"));
    assert!(comparison > 0.9 && linear < 0.65, "comparison {comparison}, linear {linear}");
    let folder = catalogue.path("comparison/best");
    let (config, ..) = read_parts(&folder).unwrap();
    assert_eq!(load(&folder, &config, None, &Device::flex()).unwrap().0.head(), Head::Comparison);
}
