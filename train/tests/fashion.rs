//! The run files in `train/configs` against the real data in `MBSD_DATA`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mbsd_data::{DuplicateIds, Keep, ProductOptions, Products, read_tags};
use mbsd_train::Run;
use mbsd_train::data::Redaction;

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("MBSD_DATA").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: MBSD_DATA is not set");
    }
    folder
}

fn run(name: &str) -> Run {
    Run::from_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(name), &[]).unwrap()
}

fn titles(path: &Path, column: &str) -> Vec<(String, String)> {
    let options = ProductOptions {
        image_column: "none".to_owned(),
        keep: Keep::Named(vec![column.to_owned()]),
        duplicate_ids: DuplicateIds::Allow,
        ..ProductOptions::default()
    };
    let products = Products::open(path, &options).unwrap();
    products.map(|product| product.unwrap()).map(|p| (p.id, p.title.unwrap_or_default())).collect()
}

#[test]
fn the_run_files_fit_the_data() {
    if data().is_some() {
        for name in ["fashion-match.toml", "fashion-classify.toml"] {
            run(name);
        }
    }
}

/// Titles are redacted in training as those of the evaluation rows were, word by word.
#[test]
fn redaction_gives_the_titles_of_the_evaluation_rows() {
    let Some(folder) = data() else { return };
    let settings = run("fashion-match.toml").matching.unwrap();
    let tags = read_tags(settings.tags.as_ref().unwrap()).unwrap();
    let values = tags.iter().filter_map(|tag| tag.split_once(':')).map(|(_, value)| value);
    let redaction = Redaction::new(values.chain(settings.redact.iter().map(String::as_str)));
    let full: HashMap<String, String> =
        titles(&folder.join("fashion/small-60x80/test.parquet"), "gender").into_iter().collect();
    let expected = titles(&folder.join("fashion/match-eval-small.parquet"), "tag");
    assert_eq!(expected.len(), 4000);
    for (id, title) in expected {
        assert_eq!(redaction.apply(&full[&id]), title, "{id}: {}", full[&id]);
    }
}
