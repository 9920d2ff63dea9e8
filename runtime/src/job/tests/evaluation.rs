//! Measures on labelled products, and thresholds chosen by them.

use super::*;

#[test]
fn a_match_model_is_measured_on_labelled_tags() {
    let folder = Folder::new();
    // The logit grows with the token of the tag: b (12) above a (11) above red (5).
    folder.write(
        "in.jsonl",
        r#"{"id": 1, "title": "red", "tag": "b", "label": 1}
{"id": 1, "title": "red", "tag": "a", "label": 0}
{"id": 2, "title": "red", "image": "0.bmp", "tag": "red", "label": "0"}
{"id": 3, "title": "red", "tag": "b", "label": "maybe"}
{"id": 4, "title": "red", "tag": null, "label": 1}
{"id": 5, "image": "bad.bmp", "tag": "b", "label": 1}
"#,
    );
    let (mut model, log) = model(Task::Match, &ALL, Behaviour::default());
    model.threshold = 0.0;
    let measure = |variant: Option<Variant>| {
        let options = EvalOptions {
            label_column: "label",
            tag_column: "tag",
            variant,
            session: &SessionOptions::default(),
            workers: ONE,
            progress: &|_| (),
        };
        eval(&model, folder.products("in.jsonl", DuplicateIds::Allow), &options)
    };
    let evaluation = measure(None).unwrap();
    assert_eq!((evaluation.summary.rows, evaluation.summary.scored), (6, 3));
    let errors: Vec<_> = evaluation.summary.errors.iter().map(|(code, count)| (code.as_str(), *count)).collect();
    assert_eq!(errors, [("image_not_an_image", 1), ("invalid_label", 1), ("missing_tag", 1)]);
    assert_eq!((evaluation.roc_auc, evaluation.per_tag_roc_auc), (Some(1.0), None));
    assert_eq!((evaluation.precision, evaluation.recall), (1.0 / 3.0, 1.0), "everything counts as a match");
    assert_eq!(evaluation.accuracy, 1.0 / 3.0);
    assert_eq!(log.rows(Variant::Full), 1);
    let value = serde_json::to_value(&evaluation).unwrap();
    for name in ["rows", "errors", "accuracy", "precision", "recall", "f1", "roc_auc", "products_per_second", "task"] {
        assert!(value.get(name).is_some(), "{name} in {value}");
    }

    let text = measure(Some(Variant::Text)).unwrap();
    assert_eq!(text.summary.variants.keys().collect::<Vec<_>>(), [&Variant::Text]);
    assert_eq!(text.summary.errors["missing_modality"], 1);
    assert!(matches!(measure(Some(Variant::Pair)), Err(JobError::Setting(_))));
}

#[test]
fn a_classifier_is_measured_by_label_names() {
    let folder = Folder::new();
    folder.write("in.csv", "id,title,kind\n1,red,w\n2,red,x\n3,red,w\n4,red,v\n");
    let (model, _) = model(Task::Classification, &ALL, Behaviour::default());
    let session = SessionOptions::default();
    let options = |label_column| EvalOptions {
        label_column,
        tag_column: "tag",
        variant: None,
        session: &session,
        workers: ONE,
        progress: &|_| (),
    };
    let evaluation = eval(&model, folder.products("in.csv", DuplicateIds::Allow), &options("kind")).unwrap();
    assert!((evaluation.accuracy - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!((evaluation.recall, evaluation.classes), (0.5, Some(2)));
    assert_eq!(evaluation.summary.errors["unknown_label"], 1);
    let error = eval(&model, folder.products("in.csv", DuplicateIds::Allow), &options("class")).unwrap_err();
    assert_eq!(error.to_string(), "the input has no column `class` beside the products; it has: `kind`");
}

#[test]
fn an_alignment_model_is_measured_on_labelled_pairs() {
    let folder = Folder::new();
    folder.write("in.csv", "id,title\n1,red\n2,red\n3,blue shoe\n");
    let pairs = folder.write("pairs.csv", "source,target,label\n1,2,1\n1,3,0\n2,3,0\n1,9,1\n");
    let (model, _) = model(Task::Alignment, &ALL, Behaviour::default());
    let options = EvalOptions {
        label_column: "label",
        tag_column: "tag",
        variant: None,
        session: &SessionOptions::default(),
        workers: ONE,
        progress: &|_| (),
    };
    let products = folder.products("in.csv", DuplicateIds::Refuse);
    let evaluation = eval_pairs(&model, products, &pairs, &options).unwrap();
    assert_eq!((evaluation.accuracy, evaluation.f1, evaluation.roc_auc), (1.0, 1.0, Some(1.0)));
    assert_eq!((evaluation.summary.rows, evaluation.summary.scored), (4, 3));
    let error = eval(&model, folder.products("in.csv", DuplicateIds::Refuse), &options).unwrap_err();
    assert!(error.to_string().starts_with("an alignment bundle is measured on pairs"), "{error}");
}

#[test]
fn thresholds_are_tuned_for_each_attribute() {
    let folder = Folder::new();
    // The logit grows with the token of the tag and with the title. Of `a`, long titles match; of `b`, all but the shortest.
    let row = |row: usize| {
        let (name, words) = (["a", "b"][row % 2], 1 + row / 2 % 10);
        let label = if name == "a" { words > 7 } else { words > 2 };
        format!(
            "{{\"id\": {row}, \"title\": \"{}\", \"tag\": \"{name}:red\", \"label\": {label}}}\n",
            "red ".repeat(words)
        )
    };
    folder.write("in.jsonl", &(0..100).map(row).collect::<String>());
    let (mut model, _) = model(Task::Match, &ALL, Behaviour::default());
    let session = SessionOptions::default();
    let options = EvalOptions {
        label_column: "label",
        tag_column: "tag",
        variant: None,
        session: &session,
        workers: ONE,
        progress: &|_| (),
    };
    let tuned = tune_thresholds(&model, folder.products("in.jsonl", DuplicateIds::Allow), None, &options).unwrap();
    assert_eq!(tuned.attributes.keys().collect::<Vec<_>>(), ["a", "b"]);
    let (a, b) = (tuned.attributes["a"], tuned.attributes["b"]);
    assert_eq!((a.f1, b.f1, a.rows, b.rows), (1.0, 1.0, 50, 50));
    assert!(a.threshold > b.threshold && a.f1_before < 1.0 && tuned.overall.f1 < 1.0, "{tuned:?}");
    model.threshold = tuned.overall.threshold;
    let measure = |model: &Model| eval(model, folder.products("in.jsonl", DuplicateIds::Allow), &options).unwrap();
    assert!(measure(&model).f1 < 1.0);
    model.thresholds = tuned.attributes.iter().map(|(name, tuned)| (name.clone(), tuned.threshold)).collect();
    assert_eq!(measure(&model).f1, 1.0, "what is tuned is what is used");
    folder.write("one.jsonl", "{\"id\": 1, \"title\": \"red\", \"tag\": \"a:b\", \"label\": 1}\n");
    let error = tune_thresholds(&model, folder.products("one.jsonl", DuplicateIds::Allow), None, &options).unwrap_err();
    assert!(error.to_string().contains("rows of both labels"), "{error}");
}
