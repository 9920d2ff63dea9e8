//! An ablation study from its file to its table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use burn::tensor::Device;
use mbsd_spec::text::Tokenizer;
use mbsd_spec::{Config, Patchify, Variant};
use mbsd_train::ablate::{Ablation, Measure, Plan, Stage};
use mbsd_train::checkpoint::State;
use mbsd_train::{Span, train};

use crate::catalogue::{Catalogue, alone};

const ROWS: &str = r#"
[[row]]
name = "MBSD"
paper = "1: 81.74 ± 0.30"

[[row]]
name = "L_QI only"
set.stage2 = ["stage2.uni_modal=false", "stage2.distillation=false"]

[[row]]
name = "linear, w/o pre-training"
stages = ["finetune"]
set.finetune = ["model.patchify=linear"]

[[row]]
name = "image"
uni_modal = { modality = "image", sdmi = true }

[[row]]
name = "image, L_QI only"
uni_modal = { modality = "image", sdmi = false }
set.stage2 = ["stage2.uni_modal=false", "stage2.distillation=false"]
"#;

/// Writes run files, a tokenizer and the ablation file. The later run files have no dimensions of their own.
fn write(catalogue: &Catalogue, rows: &str) -> PathBuf {
    let later = |task: &str| {
        let text = catalogue.toml(task, "unused");
        let (before, rest) = text.split_once("[model]").unwrap();
        let (_, after) = rest.split_once("[tokenizer]").unwrap();
        format!("{before}[model]\ncheckpoint = 'nowhere/best'\n[tokenizer]{after}")
    };
    let texts = ["red wool shirt", "green cotton scarf", "blue hat", "coat", "Colour:red", "Material:wool"];
    let tokenizer = Tokenizer::train(texts.map(str::to_owned), 200, true).unwrap();
    let folder = catalogue.folder.path().display();
    let file = format!(
        "output = '{folder}/ablation'\nseeds = [3, 4]\ntokenizer = '{folder}/tokenizer.json'\n\
         stage1 = 'stage1.toml'\nstage2 = 'stage2.toml'\nfinetune = 'match.toml'\n\
         [set]\nstage1 = ['training.epochs=1']\nstage2 = ['training.epochs=1', 'stage2.pairs_per_epoch=64']\n{rows}"
    );
    for (name, text) in [
        ("stage1.toml", catalogue.toml("stage1", "unused")),
        ("stage2.toml", later("stage2")),
        ("match.toml", later("match")),
        ("tokenizer.json", tokenizer.to_json()),
        ("ablate.toml", file),
    ] {
        std::fs::write(catalogue.path(name), text).unwrap();
    }
    catalogue.path("ablate.toml")
}

fn plan(path: &Path) -> Plan {
    Plan::new(Ablation::from_file(path, &[]).unwrap()).unwrap()
}

/// When each run's last checkpoint was written.
fn written(plan: &Plan) -> BTreeMap<String, SystemTime> {
    let time = |path: PathBuf| std::fs::metadata(path).unwrap().modified().unwrap();
    plan.runs.iter().map(|run| (run.name.clone(), time(run.run.output.join("last/training.json")))).collect()
}

#[test]
fn rows_share_runs_and_a_second_start_goes_on() {
    let _alone = alone();
    let catalogue = Catalogue::new(96, 60);
    let path = write(&catalogue, ROWS);
    let plan = plan(&path);
    assert!(!catalogue.path("ablation").exists(), "a plan starts nothing");
    let count = |stage| plan.runs.iter().filter(|run| run.stage == stage).count();
    assert_eq!([Stage::Stage1, Stage::Stage2, Stage::Finetune].map(count), [2, 4, 10]);
    assert_eq!(plan.cells.iter().map(|cell| cell.seed).collect::<Vec<_>>(), [[3; 5], [4; 5]].concat());

    // An earlier start ended within the first run.
    let devices = [Device::flex()];
    let stopped = Span { resume: true, stop_at_step: Some(2), ..Span::default() };
    train(&plan.runs[0].run, stopped, &devices).unwrap();
    let partial = plan.report().unwrap();
    assert_eq!((partial.progress(), partial.rows[0].summary.len()), ((0, 10), 0));

    let results = plan.run(&devices).unwrap();
    assert_eq!(results.progress(), (10, 10));
    for cell in &plan.cells {
        let planned = &plan.runs[*cell.runs.last().unwrap()];
        let state = State::read(&planned.run.output.join("last")).unwrap();
        let row = &results.rows[cell.row];
        let shown = row.cells.iter().find(|shown| shown.seed == cell.seed).unwrap();
        assert_eq!((state.run.seed, &state.validation), (cell.seed, &shown.validation));
        assert_eq!(state.run.tokenizer.file, Some(catalogue.path("tokenizer.json")));
        let started = planned.previous.map(|previous| plan.runs[previous].run.output.join("best"));
        assert_eq!(state.run.model.checkpoint, started);
        let config = Config::from_file(planned.run.output.join("best/config.json")).unwrap();
        assert_eq!(config.hidden_size, 64, "{}: dimensions of the first stage's file", row.name);
        assert_eq!(config.patchify == Patchify::Linear, row.name.starts_with("linear"));
    }
    let image = &results.rows[3];
    let settings = &plan.runs[*plan.cells[3].runs.last().unwrap()].run.training;
    assert_eq!((settings.without_text, settings.without_image), (1.0, 0.0));
    assert!(image.summary.iter().all(|summary| summary.variant == Variant::Image && summary.difference.is_none()));
    assert_eq!(results.uni_modal.len(), 1);

    // The numbers people read are those of the checkpoints.
    let area = |row: usize, seed: usize| results.rows[row].cells[seed].validation[&Variant::Full].roc_auc.unwrap();
    let summary = results.rows[1].summary(Variant::Full, Measure::RocAuc).unwrap();
    assert!((summary.value.mean - 0.5 * (area(1, 0) + area(1, 1))).abs() < 1e-12);
    let differences = [area(1, 0) - area(0, 0), area(1, 1) - area(0, 1)];
    let paired = summary.difference.unwrap();
    assert!((paired.mean - 0.5 * (differences[0] + differences[1])).abs() < 1e-12);
    let deviation = (differences[0] - differences[1]).abs() / 2f64.sqrt();
    assert!((paired.deviation.unwrap() - deviation).abs() < 1e-12);
    let read = |name: &str| std::fs::read_to_string(catalogue.path("ablation").join(name)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&read("results.json")).unwrap();
    assert_eq!(json["rows"][1]["cells"][1]["validation"]["full"]["roc_auc"], area(1, 1));
    assert_eq!(json["rows"][1]["summary"][0]["difference"]["mean"], paired.mean);
    let (table, page) = (read("table.md"), read("ablation.html"));

    // Another row to be compared with changes no run.
    write(&catalogue, &ROWS.replace("[\"finetune\"]", "[\"finetune\"]\nagainst = \"L_QI only\""));
    let against = crate::ablation::plan(&path).report().unwrap();
    assert_eq!(against.progress(), (10, 10));
    let paired = against.rows[2].summary(Variant::Full, Measure::RocAuc).unwrap().difference.unwrap();
    let differences = [area(2, 0) - area(1, 0), area(2, 1) - area(1, 1)];
    assert!((paired.mean - 0.5 * (differences[0] + differences[1])).abs() < 1e-12);
    assert!(read("table.md").contains("| linear, w/o pre-training (against L_QI only) |"));
    plan.report().unwrap();
    let shown = format!(
        "| L_QI only | - | {:.2} ± {:.2} |",
        100.0 * summary.value.mean,
        100.0 * summary.value.deviation.unwrap()
    );
    assert!(table.contains(&shown) && table.contains("| MBSD | 1: 81.74 ± 0.30 |"), "{shown} is not in {table}");
    assert!(page.contains("image only, with SDMI") && page.contains("ROC-AUC, text input") && !page.contains("NaN"));

    // One run is gone and one was stopped early: they are trained anew, to the same end, and nothing else is.
    let before = written(&plan);
    let [gone, early] = [2, 7].map(|cell: usize| &plan.runs[*plan.cells[cell].runs.last().unwrap()]);
    for run in [gone, early] {
        std::fs::remove_dir_all(&run.run.output).unwrap();
    }
    train(&early.run, Span { resume: true, stop_after: Some(1), ..Span::default() }, &devices).unwrap();
    let unfinished = plan.report().unwrap();
    assert_eq!(unfinished.progress(), (8, 10));
    assert_eq!(plan.run(&devices).unwrap(), results);
    let after = written(&plan);
    let changed: Vec<&String> = after.keys().filter(|&name| before[name] != after[name]).collect();
    let mut expected = vec![&gone.name, &early.name];
    expected.sort();
    assert_eq!(changed, expected);
    assert_eq!(plan.run(&devices).unwrap(), results);
    assert_eq!(written(&plan), after, "what is finished is not repeated");
}

#[test]
fn a_wrong_ablation_file_is_refused_before_anything_starts() {
    let catalogue = Catalogue::new(1, 1);
    let row = "[[row]]\nname = 'a'\n";
    for (rows, message) in [
        ("", "missing field `row`"),
        ("[[row]]\nname = 'a'\n[[row]]\nname = 'a'", "row `a`: there are two of this name"),
        ("[[row]]\nname = 'a'\nstages = ['finetune', 'stage1']", "row `a`: stages are some of"),
        ("[[row]]\nname = 'a'\nstages = ['stage1']", "row `a`: stages are some of"),
        (
            "[[row]]\nname = 'a'\nstages = ['finetune']\nset.stage1 = ['training.epochs=2']",
            "does not go through stage1",
        ),
        ("[[row]]\nname = 'a'\nset.finetune = ['seed=2']", "finetune: seed=2: it is given at the top"),
        ("[[row]]\nname = 'a'\nset.stage2 = ['model.checkpoint=x']", "a stage starts from the one before"),
        ("[[row]]\nname = 'a'\nset.stage2 = ['tokenizer.file=x']", "`tokenizer` gives it to all rows"),
        ("[[row]]\nname = 'a'\nset.stage2 = ['stage2.distill=false']", "row `a`: "),
        ("[[row]]\nname = 'a'\nset.stage2 = ['model.hidden_size=32']", "stage2 has other dimensions than stage1"),
        ("[[row]]\nname = 'a'\nset.finetune = ['training.epochs=0']", "row `a`: training.epochs: 0 is too few"),
        ("[[row]]\nname = 'a'\ncolour = 1", "unknown field `colour`"),
        ("[[row]]\nname = 'a'\nagainst = 'b'\n[[row]]\nname = 'b'", "row `a`: there is no earlier row `b`"),
        ("[[row]]\nname = 'a'\nuni_modal = { modality = 'text', sdmi = true }", "it has no uni_modal"),
    ] {
        let path = write(&catalogue, rows);
        let error = Ablation::from_file(&path, &[]).and_then(Plan::new).unwrap_err().to_string();
        assert!(error.contains(message), "{rows}: {error}");
    }
    let other = format!("{row}[[row]]\nname = 'b'\nset.finetune = ['data.validation_products=1']");
    for (rows, change, message) in [
        (row, "row=[]", "there is no row"),
        (row, "seeds=[]", "seeds: give at least one"),
        (row, "seeds=[1, 1]", "none twice"),
        (row, "stage1=stage2.toml", "its objective is `stage2`, which is not of stage1"),
        (row, "stage1=no.toml", "no.toml"),
        (row, "tokenizer=no.json", "cannot read no.json"),
        (row, "output=${MBSD_NOT_SET}/x", "MBSD_NOT_SET is not set"),
        (other.as_str(), "seeds=[1]", "row `b`: its task, validation products or pairs are not those of the first row"),
    ] {
        let path = write(&catalogue, rows);
        let error = Ablation::from_file(&path, &[change.to_owned()]).and_then(Plan::new).unwrap_err().to_string();
        assert!(error.contains(message), "{change}: {error}");
    }
    assert!(!catalogue.path("ablation").exists());
}

#[test]
fn other_networks_stand_in_one_table_with_what_they_read() {
    let _alone = alone();
    let catalogue = Catalogue::new(64, 60);
    let rows = ["mbsd", "bert", "vit", "vilt"].map(|name| {
        format!("[[row]]\nname = '{name}'\nstages = ['finetune']\nset.finetune = ['model.architecture={name}']\n")
    });
    let path = write(&catalogue, &rows.concat());
    let changes = ["seeds=[3]".to_owned(), "set.finetune=[\"training.epochs=1\"]".to_owned()];
    let plan = Plan::new(Ablation::from_file(&path, &changes).unwrap()).unwrap();
    let results = plan.run(&[Device::flex()]).unwrap();
    assert_eq!(results.progress(), (4, 4));
    let table = std::fs::read_to_string(catalogue.path("ablation/table.md")).unwrap();
    let (_, models) = table.split_once("## Models\n\n").unwrap();
    let lines: Vec<&str> = models.lines().take(6).collect();
    assert!(
        lines[0].starts_with("| Model | Paper | Input | Accuracy | Precision | Recall | F1 | ROC-AUC |"),
        "{models}"
    );
    for (line, (row, variant)) in lines[2..].iter().zip([
        ("mbsd", Variant::Full),
        ("bert", Variant::Text),
        ("vit", Variant::Image),
        ("vilt", Variant::Full),
    ]) {
        let row = results.rows.iter().find(|found| found.name == row).unwrap();
        let measured = &row.cells[0].validation[&variant];
        let shown = format!("| {} | - | {variant} | {:.2} |", row.name, 100.0 * measured.accuracy);
        assert!(line.starts_with(&shown), "{line} is not {shown}");
        assert!(line.contains(&format!("| {:.2} |", 100.0 * measured.roc_auc.unwrap())), "{line}");
    }
}
