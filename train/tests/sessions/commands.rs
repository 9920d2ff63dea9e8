//! The commands beside those that train, from the command line.

use std::path::Path;
use std::process::Command;

use burn::tensor::Device;
use mbsd_spec::Variant;
use mbsd_train::checkpoint::State;
use mbsd_train::{Span, train};
use serde_json::Value;

use crate::catalogue::{Catalogue, alone};

/// What a command prints, if it succeeds, else its errors.
fn output(arguments: &[&str]) -> Result<String, String> {
    let done = Command::new(env!("CARGO_BIN_EXE_mbsd-train")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

fn measured(checkpoint: &Path, input: &Path, more: &[&str]) -> Result<Value, String> {
    let (checkpoint, input) = (checkpoint.display().to_string(), input.display().to_string());
    let arguments = [&["eval", "--json", "--checkpoint", &checkpoint, "--input", &input], more].concat();
    output(&arguments).map(|text| serde_json::from_str(&text).unwrap())
}

#[test]
fn eval_measures_what_training_measured() {
    let _alone = alone();
    let catalogue = Catalogue::new(90, 60);
    // Validation rows of match are drawn from attributes; those of a file are the same each time.
    let rows = (0..60).map(|row| {
        let tag = ["Colour:red", "Material:wool"][row % 2];
        format!("{{\"product\": \"validation{row}\", \"tag\": \"{tag}\", \"label\": {}}}\n", row / 2 % 2)
    });
    let pairs: String = rows.collect();
    std::fs::write(catalogue.path("tags.jsonl"), &pairs).unwrap();
    std::fs::write(catalogue.path("train-tags.jsonl"), pairs.replace("validation", "train")).unwrap();
    let [own, others] = ["train-tags.jsonl", "tags.jsonl"].map(|name| catalogue.path(name).display().to_string());
    let toml = catalogue.toml("match", "match");
    let (before, rest) = toml.split_once("[match]").unwrap();
    let (_, after) = rest.split_once("[optimizer]").unwrap();
    let toml = format!("{before}[match]\npairs = '{own}'\nvalidation_pairs = '{others}'\n[optimizer]{after}");
    let matching = mbsd_train::Run::from_toml(&toml, "run.toml", &["training.epochs=1".to_owned()]).unwrap();

    let alignment = catalogue.path("alignment-validation.jsonl").display().to_string();
    // The products of the pairs, once for each tag, for `eval` reads rows of products.
    let products = std::fs::read_to_string(catalogue.path("validation.jsonl")).unwrap();
    let tagged = products.lines().zip(pairs.lines()).map(|(product, pair)| {
        let [mut product, pair] = [product, pair].map(|line| serde_json::from_str::<Value>(line).unwrap());
        product["tag"] = pair["tag"].clone();
        product["label"] = pair["label"].clone();
        format!("{product}\n")
    });
    std::fs::write(catalogue.path("tagged.jsonl"), tagged.collect::<String>()).unwrap();
    let run = |task: &str| catalogue.run(task, task, &["training.epochs=1", "data.max_text_tokens=12"]);
    for (run, input, more) in [
        (matching, "tagged.jsonl", vec![]),
        (run("classification"), "validation.jsonl", vec![]),
        (run("alignment"), "validation.jsonl", vec!["--pairs", &alignment]),
    ] {
        let task = run.objective;
        let limit = run.data.max_text_tokens.unwrap_or(16);
        let state = train(&run, Span::default(), &[Device::flex()]).unwrap();
        let config = mbsd_train::checkpoint::read_config(&run.output.join("last")).unwrap();
        assert_eq!(config.max_text_tokens(), limit, "{task}: what is exported keeps to it");
        let found = measured(&run.output.join("last"), &catalogue.path(input), &more).unwrap();
        for variant in Variant::ENCODERS {
            let expected = serde_json::to_value(&state.validation[&variant]).unwrap();
            for (name, expected) in expected.as_object().unwrap() {
                let (value, expected) = (found[variant.name()][name].as_f64(), expected.as_f64());
                // Rows lie in batches of another size.
                let close = value.zip(expected).is_none_or(|(value, expected)| (value - expected).abs() < 1e-5);
                assert!(
                    value.is_some() == expected.is_some() && close,
                    "{task} {variant} {name}: {value:?}, {expected:?}"
                );
            }
            assert!(["precision", "recall", "f1"].iter().all(|&name| expected[name].is_number()), "{task}");
        }
        let last = run.output.join("last").display().to_string();
        let input = catalogue.path(input).display().to_string();
        let table = output(&[&["eval", "--checkpoint", &last, "--input", &input], &more[..]].concat()).unwrap();
        let full = &state.validation[&Variant::Full];
        assert!(table.lines().next().unwrap().contains("precision    recall        F1   ROC-AUC"), "{table}");
        assert!(table.contains(&format!("{:.4}", full.f1.unwrap())), "{table}");
    }
    let path = |name: &str| catalogue.path(name);
    let error = measured(&path("alignment/last"), &path("validation.jsonl"), &[]).unwrap_err();
    assert!(error.contains("--pairs: this checkpoint compares products"), "{error}");
    let error = measured(&path("classification/last"), &path("validation.jsonl"), &["--pairs", "x"]).unwrap_err();
    assert!(error.contains("classification has none"), "{error}");
    let error = measured(&path("match/last"), &path("validation.jsonl"), &[]).unwrap_err();
    assert!(error.contains("no column `tag`"), "{error}");
    let error = measured(&path("nothing"), &path("validation.jsonl"), &[]).unwrap_err();
    assert!(error.contains("nothing"), "{error}");
    let usual = measured(&path("match/last"), &path("tagged.jsonl"), &[]).unwrap();
    let mut long = std::fs::read_to_string(path("tagged.jsonl")).unwrap();
    let row = long.lines().next().unwrap().replace("Colour:red", &"wool ".repeat(30));
    long.push_str(&row);
    std::fs::write(path("long.jsonl"), long).unwrap();
    let found = measured(&path("match/last"), &path("long.jsonl"), &[]).unwrap();
    assert_eq!(found, usual, "a tag that is too long is left out");
    let renamed = std::fs::read_to_string(path("validation.jsonl")).unwrap().replace("\"title\"", "\"name\"");
    std::fs::write(path("renamed.jsonl"), renamed).unwrap();
    let labelled = |name: &str, more: &[&str]| measured(&path("classification/last"), &path(name), more).unwrap();
    let again = labelled("renamed.jsonl", &["--title-column", "name"]);
    assert_eq!(again, labelled("validation.jsonl", &[]));
}

#[test]
fn ablate_lists_its_plan_and_carries_it_out() {
    let catalogue = Catalogue::new(40, 30);
    let folder = catalogue.folder.path().display();
    std::fs::write(catalogue.path("match.toml"), catalogue.toml("match", "unused")).unwrap();
    let file = format!(
        "output = '{folder}/out'\nseeds = [1, 2]\nfinetune = 'match.toml'\n[set]\nfinetune = ['training.epochs=1']\n\
         [[row]]\nname = 'a'\nstages = ['finetune']\n"
    );
    std::fs::write(catalogue.path("ablate.toml"), file).unwrap();
    let config = catalogue.path("ablate.toml").display().to_string();
    let plan = || output(&["ablate", "--config", &config, "--plan"]).unwrap();
    let before = plan();
    assert!(before.contains("a, seed 1: finetune-") && before.ends_with("2 runs, 0 of them finished\n"), "{before}");
    assert!(!catalogue.path("out").exists());
    output(&["ablate", "--config", &config]).unwrap();
    let after = plan();
    assert!(after.matches("(finished)").count() == 2 && after.ends_with("2 of them finished\n"), "{after}");
    let table = std::fs::read_to_string(catalogue.path("out/table.md")).unwrap();
    assert!(table.contains("2 of 2 cells"), "{table}");
    // How often it is logged is no reason to train anew.
    let logged = ["--set", "set.finetune=[\"training.epochs=1\", \"training.log_every=7\"]", "--plan"];
    let again = output(&[&["ablate", "--config", &config], &logged[..]].concat()).unwrap();
    assert!(again.ends_with("2 runs, 2 of them finished\n"), "{again}");
}

#[test]
fn processes_share_an_ablation() {
    let catalogue = Catalogue::new(60, 30);
    let folder = catalogue.folder.path().display();
    std::fs::write(catalogue.path("stage1.toml"), catalogue.toml("stage1", "unused")).unwrap();
    std::fs::write(catalogue.path("match.toml"), catalogue.toml("match", "unused")).unwrap();
    let rows = ["a", "b", "c"].map(|name| {
        let rate = format!("optimizer.learning_rate={}e-3", name.len() + usize::from(name == "b"));
        let epochs = if name == "c" { 3 } else { 2 };
        format!("[[row]]\nname = '{name}'\nstages = ['stage1', 'finetune']\nset.finetune = ['{rate}', 'training.epochs={epochs}']\n")
    });
    let file = format!(
        "output = '{folder}/out'\nseeds = [1, 2]\nstage1 = 'stage1.toml'\nfinetune = 'match.toml'\n{}",
        rows.concat()
    );
    std::fs::write(catalogue.path("ablate.toml"), file).unwrap();
    let config = catalogue.path("ablate.toml").display().to_string();
    let processes = [0, 1, 2].map(|_| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mbsd-train"));
        command.args(["ablate", "--config", &config]).stderr(std::process::Stdio::piped()).spawn().unwrap()
    });
    let mut trained: Vec<String> = Vec::new();
    for process in processes {
        let done = process.wait_with_output().unwrap();
        let errors = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success(), "{errors}");
        assert!(errors.contains("6 of 6 cells"), "each waits for all of it: {errors}");
        // A run's folder is named, and its model when it begins.
        let mut folder = "";
        for line in errors.lines() {
            match line.rsplit_once("/runs/") {
                Some((_, name)) if !line.contains(' ') => folder = name,
                _ if line.contains("parameters") => trained.push(folder.to_owned()),
                _ => {}
            }
        }
    }
    let all = trained.len();
    trained.sort();
    trained.dedup();
    assert_eq!((trained.len(), all), (8, 8), "each run is trained by one of them: {trained:?}");
}

#[test]
fn tokenizer_learns_a_vocabulary_of_titles_and_tags() {
    let catalogue = Catalogue::new(60, 10);
    let path = |name: &str| catalogue.path(name).display().to_string();
    let (titles, tags, out) = (path("train.jsonl"), path("tags.txt"), path("new/tokenizer.json"));
    output(&["tokenizer", "--input", &titles, "--input", &tags, "--vocab-size", "120", "--out", &out]).unwrap();
    let tokenizer = mbsd_spec::text::Tokenizer::from_file(&out).unwrap();
    assert!(tokenizer.vocab_size() <= 120);
    let tokens = |text: &str| {
        let ids = tokenizer.encode(text);
        ids.ids().iter().map(|&id| tokenizer.token(id).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(tokens("Wool shirt"), ["wool", "shirt"]);
    assert!(!tokens("Material:cotton").contains(&"[UNK]".to_owned()));
    // A part of a file is no whole one.
    catalogue.write_packed("cut.csv.gz", 20_000, 0.9);
    let error =
        output(&["tokenizer", "--input", &path("cut.csv.gz"), "--vocab-size", "120", "--out", &out]).unwrap_err();
    assert!(error.contains("cannot be read from here on"), "{error}");
    let itself = output(&["tokenizer", "--input", &titles, "--out", &titles]).unwrap_err();
    assert!(itself.contains("is an input file as well"), "{itself}");
    let whole = std::fs::read_to_string(&titles).unwrap();
    let broken = whole.lines().map(|line| if line.contains("train1") { "{\n" } else { line }.to_owned() + "\n");
    std::fs::write(path("broken.jsonl"), broken.collect::<String>()).unwrap();
    let error = output(&["tokenizer", "--input", &path("broken.jsonl"), "--out", &out]).unwrap_err();
    assert!(error.contains("rows cannot be used, more than --max-bad-rows allows"), "{error}");
    std::fs::write(catalogue.path("empty.txt"), "\n").unwrap();
    let error =
        output(&["tokenizer", "--input", &path("empty.txt"), "--vocab-size", "120", "--out", &out]).unwrap_err();
    assert!(error.contains("it holds no text"), "{error}");
}

#[test]
fn duplicates_pairs_equal_titles_for_alignment() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 30);
    let path = |name: &str| catalogue.path(name).display().to_string();
    // Titles are of 8 kinds; groups larger than allowed would be series.
    for split in ["train", "validation"] {
        let arguments = [
            "duplicates",
            "--products",
            &path(&format!("{split}.jsonl")),
            "--category-column",
            "material",
            "--largest-group",
            "20",
            "--output",
            &path(&format!("made/{split}.jsonl")),
        ];
        output(&arguments).unwrap();
    }
    let made = std::fs::read_to_string(catalogue.path("made/train.jsonl")).unwrap();
    let labels: Vec<u64> =
        made.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["label"].as_u64().unwrap()).collect();
    assert!(labels.contains(&0) && labels.iter().filter(|&&label| label == 1).count() * 2 >= labels.len(), "{made}");
    let [own, others] = ["train", "validation"].map(|split| catalogue.path(&format!("made/{split}.jsonl")));
    let changes = [
        format!("alignment.pairs={}", own.display()),
        format!("alignment.validation_pairs={}", others.display()),
        "training.epochs=1".to_owned(),
    ];
    let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
    let state = train(&catalogue.run("alignment", "out", &changes), Span::default(), &[Device::flex()]).unwrap();
    assert_eq!(State::read(&catalogue.path("out/last")).unwrap(), state);
}
