//! Models that learn from another model.

use burn::tensor::Device;
use mbsd_spec::Variant;
use mbsd_train::ablate::{Ablation, Plan};
use mbsd_train::checkpoint::{State, read_parts};
use mbsd_train::{Run, Span, train};
use serde_json::Value;

use crate::catalogue::{Catalogue, alone};

fn trained(catalogue: &Catalogue, objective: &str, output: &str, changes: &[String]) -> State {
    let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
    train(&catalogue.run(objective, output, &changes), Span::default(), &[Device::flex()]).unwrap()
}

fn taught_by(catalogue: &Catalogue, output: &str) -> String {
    format!("teacher.checkpoint={}", catalogue.path(&format!("{output}/best")).display())
}

fn changes(changes: &[&str]) -> Vec<String> {
    changes.iter().map(|&change| change.to_owned()).collect()
}

#[test]
fn a_smaller_model_of_another_form_learns_from_answers_alone() {
    let _alone = alone();
    let catalogue = Catalogue::new(600, 240);
    let teacher = trained(&catalogue, "match", "teacher", &changes(&["training.epochs=10", "training.without_text=0"]));
    let area = |state: &State| state.validation[&Variant::Full].roc_auc.unwrap();
    assert!(area(&teacher) > 0.9, "{}", area(&teacher));
    let mut student = changes(&[
        "model.attention=one-way",
        "model.title_position=10",
        "model.num_hidden_layers=1",
        "training.epochs=10",
        "training.without_text=0",
        "training.without_image=0",
        "match.tags_per_product=2",
        "teacher.weight=1",
        "teacher.temperature=2",
    ]);
    student.push(taught_by(&catalogue, "teacher"));
    let state = trained(&catalogue, "match", "student", &student);
    // Labels do not count: what it knows, it knows from the teacher.
    assert!(area(&state) > 0.85, "{} of {}", area(&state), area(&teacher));
    let (config, tokenizer, _) = read_parts(&catalogue.path("student/best")).unwrap();
    assert_eq!(config.num_hidden_layers, 1);
    assert_eq!(tokenizer.to_json(), read_parts(&catalogue.path("teacher/best")).unwrap().1.to_json());
    let log = std::fs::read_to_string(catalogue.path("student/metrics.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let taught: Vec<f64> = lines.filter_map(|line| line["terms"]["teacher"].as_f64()).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (early, late) = taught.split_at(taught.len() / 2);
    assert!(taught.len() > 20 && mean(late) < 0.7 * mean(early), "{} then {}", mean(early), mean(late));
}

#[test]
fn every_task_has_teachers() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 30);
    for task in ["classification", "alignment"] {
        trained(&catalogue, task, &format!("{task}-teacher"), &changes(&["training.epochs=1"]));
        let mut student = changes(&["training.epochs=1", "training.log_every=1", "data.max_text_tokens=9"]);
        student.push("model.patch_size=32".to_owned());
        student.push(taught_by(&catalogue, &format!("{task}-teacher")));
        let state = trained(&catalogue, task, task, &student);
        let log = std::fs::read_to_string(catalogue.path(task).join("metrics.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let taught: Vec<f64> = lines.filter_map(|line| line["terms"]["teacher"].as_f64()).collect();
        assert!(taught.len() == state.step && taught.iter().all(|&loss| loss > 0.0), "{task}: {taught:?}");
    }
}

#[test]
fn a_teacher_that_does_not_fit_is_refused() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 30);
    for task in ["match", "classification"] {
        trained(&catalogue, task, task, &changes(&["training.epochs=1"]));
    }
    trained(&catalogue, "match", "bert", &changes(&["training.epochs=1", "model.architecture=bert"]));
    let refused = |task: &str, teacher: &str, others: &[&str]| {
        let all = [changes(others), vec![taught_by(&catalogue, teacher)]].concat();
        let run = Run::from_toml(&catalogue.toml(task, "out"), "run.toml", &all);
        run.and_then(|run| train(&run, Span::default(), &[Device::flex()])).unwrap_err().to_string()
    };
    std::fs::write(catalogue.path("labels.txt"), "red\ngreen\nblue\nblack\n").unwrap();
    std::fs::write(catalogue.path("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwool\nc\nr\nm\n##a\n").unwrap();
    let file = |key: &str, name: &str| format!("{key}={}", catalogue.path(name).display());
    for (task, teacher, others, message) in [
        ("stage1", "match", vec![], "teacher: `stage1` learns without one"),
        ("match", "nothing", vec![], "nothing/best"),
        ("match", "match", vec!["teacher.weight=0".to_owned()], "0 is not more than 0 and at most 1"),
        ("match", "match", vec!["teacher.temperature=0".to_owned()], "0 is not between 0.1 and 100"),
        ("match", "match", vec!["teacher.wight=1".to_owned()], "wight"),
        ("match", "match", vec!["model.image_size=64".to_owned()], "images of 32 pixels, this run of 64"),
        ("match", "match", vec![file("tokenizer.file", "vocab.txt")], "another tokenizer"),
        ("match", "bert", vec![], "a teacher is of architecture mbsd, this is BERT"),
        ("match", "classification", vec![], "it answers `classification`, and the run asks `match`"),
        ("classification", "classification", vec![file("classification.labels", "labels.txt")], "other classes"),
    ] {
        let error = refused(task, teacher, &others.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(error.contains(message), "{task} taught by {teacher} {others:?}: {error}");
        assert!(!catalogue.path("out/last").exists());
    }
}

#[test]
fn a_row_of_an_ablation_teaches_another_with_its_seed() {
    let _alone = alone();
    let catalogue = Catalogue::new(60, 30);
    let folder = catalogue.folder.path().display();
    let file = |taught: &str| {
        format!(
            "output = '{folder}/ablation'\nseeds = [1, 2]\nfinetune = 'match.toml'\n[set]\nfinetune = ['training.epochs=1']\n\
             [[row]]\nname = 'teacher'\nstages = ['finetune']\n\
             [[row]]\nname = 'student'\nstages = ['finetune']\n{taught}"
        )
    };
    std::fs::write(catalogue.path("match.toml"), catalogue.toml("match", "unused")).unwrap();
    let plan = |taught: &str| {
        std::fs::write(catalogue.path("ablate.toml"), file(taught)).unwrap();
        Ablation::from_file(&catalogue.path("ablate.toml"), &[]).and_then(Plan::new)
    };
    let taught = plan("teacher = 'teacher'\nset.finetune = ['teacher.weight=0.7']").unwrap();
    let results = taught.run(&[Device::flex()]).unwrap();
    assert_eq!(results.progress(), (4, 4));
    for seed in 0..2 {
        let [teacher, student] = [0, 1].map(|row| &taught.runs[*taught.cells[2 * seed + row].runs.last().unwrap()]);
        let settings = State::read(&student.run.output.join("last")).unwrap().run.teacher.unwrap();
        assert_eq!((settings.checkpoint, settings.weight), (teacher.run.output.join("best"), 0.7));
        assert_eq!(student.run.seed, teacher.run.seed);
    }
    for (wrong, message) in [
        ("teacher = 'nobody'", "no earlier row `nobody` to be its teacher"),
        ("teacher = 'student'", "no earlier row `student` to be its teacher"),
        ("teacher = 'teacher'\nset.finetune = ['teacher.weight=2']", "2 is not more than 0 and at most 1"),
        ("teacher = 'teacher'\nset.finetune = ['teacher.checkpoint=x']", "a row's `teacher` is another row"),
        ("teacher = 'teacher'\nset.finetune = ['model.image_size=64']", "images of 32 pixels, this run of 64"),
    ] {
        let error = plan(wrong).unwrap_err().to_string();
        assert!(error.contains(message), "{wrong}: {error}");
    }
}
