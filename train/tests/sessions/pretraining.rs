//! Both stages of pre-training and what starts from them.

use burn::tensor::Device;
use mbsd_spec::{Config, Task, Variant};
use mbsd_train::{Span, train};

use crate::catalogue::{Catalogue, alone};

const NO_DROPOUT: [&str; 2] = ["model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0"];

fn with<'a>(changes: &[&'a str]) -> Vec<&'a str> {
    NO_DROPOUT.iter().chain(changes).copied().collect()
}

#[test]
fn stage_1_learns_to_fill_in_what_is_hidden() {
    let _alone = alone();
    let catalogue = Catalogue::new(300, 60);
    for recipe in ["paper", "released"] {
        let recipe = format!("recipe={recipe}");
        let changes = with(&["training.epochs=12", "training.crop=0.9", recipe.as_str()]);
        let run = catalogue.run("stage1", &recipe, &changes);
        let untrained = train(
            &catalogue.run(
                "stage1",
                &format!("{recipe}-0"),
                &with(&["optimizer.learning_rate=1e-9", "training.epochs=1"]),
            ),
            Span::default(),
            &[Device::flex()],
        )
        .unwrap();
        let state = train(&run, Span::default(), &[Device::flex()]).unwrap();
        let (before, after) = (&untrained.validation[&Variant::Full], &state.validation[&Variant::Full]);
        // A title is a material and a kind: 2 and 4 words, so chance is between a quarter and a half.
        assert!(before.accuracy < 0.3 && after.accuracy > 0.3, "{recipe}: {} then {}", before.accuracy, after.accuracy);
        let (untrained, trained) = (before.patch_error.unwrap(), after.patch_error.unwrap());
        assert!(trained < 0.5 * untrained, "{recipe}: patches off by {trained}, untrained {untrained}");
        assert_eq!(state.validation.len(), 1);
    }
    let log = std::fs::read_to_string(catalogue.path("recipe=paper/metrics.jsonl")).unwrap();
    assert!(log.contains("\"mlm\"") && log.contains("\"mpm\""), "{log}");
    assert!(std::fs::read_to_string(catalogue.path("recipe=paper/curves.html")).unwrap().contains(">mpm<"));
}

#[test]
fn stage_2_teaches_both_modalities_and_fine_tuning_starts_from_it() {
    let _alone = alone();
    let catalogue = Catalogue::new(400, 120);
    let devices = [Device::flex()];
    let stage1 = catalogue.run("stage1", "stage1", &with(&["training.epochs=1"]));
    train(&stage1, Span::default(), &devices).unwrap();

    let checkpoint = format!("model.checkpoint={}", catalogue.path("stage1/best").display());
    let changes = with(&["training.epochs=10", "stage2.pairs_per_epoch=600", &checkpoint]);
    let run = catalogue.run("stage2", "stage2", &changes);
    let state = train(&run, Span::default(), &devices).unwrap();
    let area = |variant| state.validation[&variant].roc_auc.unwrap();
    let (full, text, image) = (area(Variant::Full), area(Variant::Text), area(Variant::Image));
    // Half of the wrong queries ask for another colour, which only the image tells, half for another material.
    assert!(full > 0.8 && full > text + 0.05 && full > image + 0.05, "full {full}, text {text}, image {image}");
    assert!(text > 0.65 && image > 0.65, "a single modality tells one half: text {text}, image {image}");
    let log = std::fs::read_to_string(catalogue.path("stage2/metrics.jsonl")).unwrap();
    for term in ["qi", "qt", "qv", "kl", "rs"] {
        assert!(log.contains(&format!("\"{term}\"")), "{term} is not logged");
    }
    let vocabulary = |folder: &str| std::fs::read_to_string(catalogue.path(folder).join("tokenizer.json")).unwrap();
    assert_eq!(vocabulary("stage1/best"), vocabulary("stage2/best"), "the tokenizer goes on with the weights");

    let checkpoint = format!("model.checkpoint={}", catalogue.path("stage2/best").display());
    let run = catalogue.run("match", "match", &with(&["training.epochs=2", &checkpoint]));
    let started = train(&run, Span::default(), &devices).unwrap();
    let scratch = catalogue.run("match", "scratch", &with(&["training.epochs=2"]));
    let scratch = train(&scratch, Span::default(), &devices).unwrap();
    let full = |state: &mbsd_train::checkpoint::State| state.validation[&Variant::Full].roc_auc.unwrap();
    assert!(full(&started) > full(&scratch) + 0.1, "{} from stage 2, {} from nothing", full(&started), full(&scratch));
}

#[test]
fn stage_2_without_distillation_encodes_less() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 30);
    let changes = with(&["training.epochs=1", "stage2.uni_modal=false", "stage2.distillation=false"]);
    train(&catalogue.run("stage2", "out", &changes), Span::default(), &[Device::flex()]).unwrap();
    let log = std::fs::read_to_string(catalogue.path("out/metrics.jsonl")).unwrap();
    assert!(log.contains("\"qi\"") && !log.contains("\"qt\"") && !log.contains("\"kl\""), "{log}");
}

#[test]
fn alignment_encodes_two_products_and_learns() {
    let _alone = alone();
    let catalogue = Catalogue::new(300, 90);
    let run = catalogue.run("alignment", "out", &with(&["training.epochs=10"]));
    let state = train(&run, Span::default(), &[Device::flex()]).unwrap();
    let measured = &state.validation[&Variant::Full];
    assert!(measured.roc_auc.unwrap() > 0.8 && measured.f1.unwrap() > 0.6, "{measured:?}");
    assert_eq!((measured.tags, measured.rows), (None, 180));
    let config = Config::from_file(catalogue.path("out/best/config.json")).unwrap();
    mbsd_net::load(catalogue.path("out/best"), &config, Some(Task::Alignment), &Device::flex()).unwrap();
}

#[test]
fn pairs_of_unknown_products_are_named_up_to_a_limit() {
    let _alone = alone();
    let catalogue = Catalogue::new(40, 20);
    let path = catalogue.path("stage2-train.jsonl");
    let mut lines = std::fs::read_to_string(&path).unwrap();
    lines.push_str("{\"product\": \"nobody\", \"query\": \"red wool\", \"label\": 1}\n");
    std::fs::write(&path, lines).unwrap();
    let run = catalogue.run("stage2", "out", &["data.max_bad_rows=0.001"]);
    let error = train(&run, Span::default(), &[Device::flex()]).unwrap_err().to_string();
    assert!(error.contains("1 of 81 rows") && error.contains("there is no product `nobody`"), "{error}");
    train(&catalogue.run("stage2", "out", &["training.epochs=1"]), Span::default(), &[Device::flex()]).unwrap();
}
