//! Every file in `train/configs` is one that a run or an ablation takes, over inputs that are there.

use std::fs;
use std::path::{Path, PathBuf};

use mbsd_spec::Config;
use mbsd_train::Run;
use mbsd_train::ablate::{Ablation, Plan};

/// The files, with inputs looked for in `folder`.
fn copied(folder: &Path) -> Vec<(String, PathBuf)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut copies = Vec::new();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".toml") {
            continue;
        }
        let mut text = fs::read_to_string(&path).unwrap();
        for root in ["${MBSD_DATA}/", "runs/", "products/", "pairs/", "bert-base-chinese/"] {
            let there = format!("\"{}/{}", folder.display(), root.replace("${MBSD_DATA}/", ""));
            text = text.replace(&format!("\"{root}"), &there);
        }
        let copy = folder.join(&name);
        fs::write(&copy, text).unwrap();
        copies.push((name, copy));
    }
    copies
}

/// Empty files for all strings of a run file that are paths of inputs, and a `config.json` for checkpoints.
fn make_inputs(folder: &Path, file: &Path, config: &Config) {
    let text = fs::read_to_string(file).unwrap();
    let start = format!("\"{}", folder.display());
    for (at, _) in text.match_indices(&start) {
        let path = PathBuf::from(text[at + 1..].split('"').next().unwrap());
        if path.ends_with("best") {
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("config.json"), config.to_json()).unwrap();
        } else if path.extension().is_some() {
            let path = path.to_str().unwrap().replace('*', "0");
            fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }
}

#[test]
fn every_file_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let files = copied(folder.path());
    let small = Config {
        image_size: 64,
        patch_size: 16,
        hidden_size: 192,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        intermediate_size: 768,
        max_position_embeddings: 64,
        ..Config::base()
    };
    let (mut runs, mut rows) = (0, 0);
    for (name, file) in &files {
        let config = if name.starts_with("paper") { Config::base() } else { small.clone() };
        make_inputs(folder.path(), file, &config);
    }
    for (name, file) in &files {
        if fs::read_to_string(file).unwrap().contains("[[row]]") {
            let plan = Ablation::from_file(file, &[]).and_then(Plan::new);
            rows += plan.unwrap_or_else(|error| panic!("{name}: {error}")).cells.len();
        } else {
            let run = Run::from_file(file, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
            let steps = run.training.batch_size * run.optimizer.accumulation;
            match name.as_str() {
                "paper-stage1.toml" => assert_eq!((steps, run.training.epochs), (2048, 10)),
                "paper-stage2.toml" => assert_eq!((steps, run.training.epochs), (1024, 3)),
                _ => {}
            }
            runs += 1;
        }
    }
    assert!(runs >= 7 && rows >= 40, "{runs} runs, {rows} cells");
}
