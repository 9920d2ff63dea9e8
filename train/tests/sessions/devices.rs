//! Several devices to a run, and bfloat16.

use burn::tensor::Device;
use mbsd_spec::Variant;
use mbsd_train::{Span, train};
use serde_json::Value;

use crate::catalogue::{Catalogue, alone};

const NO_DROPOUT: [&str; 2] = ["model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0"];

/// The lines of `metrics.jsonl` with losses.
fn losses(catalogue: &Catalogue, output: &str) -> Vec<Value> {
    let log = std::fs::read_to_string(catalogue.path(&format!("{output}/metrics.jsonl"))).unwrap();
    log.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["loss"].is_number())
        .collect()
}

#[test]
fn devices_that_share_batches_train_as_one_does() {
    let _alone = alone();
    let catalogue = Catalogue::new(130, 40);
    let one_way = ["model.attention=one-way", "model.title_position=10"];
    train(&catalogue.run("match", "teacher", &["training.epochs=1"]), Span::default(), &[Device::flex()]).unwrap();
    let teacher = format!("teacher.checkpoint={}", catalogue.path("teacher/best").display());
    for (name, objective, changes) in [
        ("match", "match", vec!["training.without_text=0.2"]),
        ("classification", "classification", vec![]),
        ("alignment", "alignment", vec![]),
        // Different numbers of hidden tokens and patches in each part.
        ("stage1", "stage1", vec!["stage1.tokens=0.4"]),
        ("stage2", "stage2", vec!["optimizer.accumulation=2"]),
        // Different numbers of tags in each part.
        ("one-way match", "match", [&one_way[..], &["match.tags_per_product=3"]].concat()),
        ("taught match", "match", [&one_way[..], &["match.tags_per_product=3", &teacher]].concat()),
        ("one-way stage2", "stage2", one_way.to_vec()),
    ] {
        // The usual epsilon would make full steps of gradients that are rounding alone.
        let common = ["optimizer.epsilon=1e-3", "training.epochs=1", "training.batch_size=13", "training.log_every=3"];
        let changes: Vec<&str> = NO_DROPOUT.into_iter().chain(common).chain(changes).collect();
        for devices in [1, 3] {
            let run = catalogue.run(objective, &format!("{name}-{devices}"), &changes);
            train(&run, Span::default(), &vec![Device::flex(); devices]).unwrap();
        }
        let (one, three) = (losses(&catalogue, &format!("{name}-1")), losses(&catalogue, &format!("{name}-3")));
        assert!(one.len() >= 2 && one.len() == three.len(), "{name}: {} {}", one.len(), three.len());
        for (one, three) in one.iter().zip(&three) {
            let close = |what: &str, one: &Value, three: &Value| {
                let (one, three) = (one.as_f64().unwrap(), three.as_f64().unwrap());
                assert!((one - three).abs() < 1e-4 * one.abs().max(1.0), "{name} {what}: {one} and {three}");
            };
            close("loss", &one["loss"], &three["loss"]);
            close("gradient_norm", &one["gradient_norm"], &three["gradient_norm"]);
            for (name, term) in one["terms"].as_object().into_iter().flatten() {
                close(name, term, &three["terms"][name]);
            }
        }
    }
}

#[test]
fn bfloat16_trains_to_the_same_answers() {
    let _alone = alone();
    let catalogue = Catalogue::new(300, 60);
    let run = |objective: &str, arithmetic: &str, changes: &[&str]| {
        let changes: Vec<&str> = NO_DROPOUT.iter().chain(changes).copied().chain([arithmetic]).collect();
        let output = format!("{objective}-{arithmetic}");
        let state = train(&catalogue.run(objective, &output, &changes), Span::default(), &[Device::flex()]).unwrap();
        (losses(&catalogue, &output), state)
    };
    let both = |objective: &str, changes: &[&str]| {
        ["training.arithmetic=\"f32\"", "training.arithmetic=\"bf16\""].map(|name| run(objective, name, changes))
    };
    let [(_, single), (_, bf16)] = both("match", &["training.epochs=14"]);
    let area = |state: &mbsd_train::checkpoint::State| state.validation[&Variant::Full].roc_auc.unwrap();
    assert!(area(&single) > 0.9 && area(&bf16) > 0.9, "{} and {}", area(&single), area(&bf16));
    for objective in ["stage1", "stage2"] {
        let [(single, _), (bf16, _)] = both(objective, &["training.epochs=1"]);
        assert!(single.len() > 2);
        for (single, bf16) in single.iter().zip(&bf16) {
            let (single, bf16) = (single["loss"].as_f64().unwrap(), bf16["loss"].as_f64().unwrap());
            assert!(single != bf16, "{objective}: the arithmetic is another one");
            assert!((single - bf16).abs() < 2e-2 * single, "{objective}: {single} and {bf16}");
        }
    }
}
