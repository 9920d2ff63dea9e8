//! `mbsd train eval`: a checkpoint's measures on labelled rows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use mbsd_data::{DuplicateIds, ProductOptions, truth};
use mbsd_net::load_network;
use mbsd_spec::Task;
use mbsd_spec::image::Preprocessor;
use serde_json::Value;

use crate::TrainError;
use crate::checkpoint::{State, read_parts};
use crate::data::{Assembler, Augmentation, Corpus, CorpusOptions, Extra, Form, Row, TagSet};
use crate::device::DeviceChoice;
use crate::evaluate::evaluate;
use crate::session::labelled;

/// Rows scored at once.
const BATCH: usize = 64;

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub(super) struct Eval {
    /// The checkpoint's folder.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Labelled products: Parquet, JSON Lines, CSV or TSV.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Folder of image paths; beside the input by default.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Column of the tag (match).
    #[arg(long, default_value = "tag")]
    tag_column: String,
    /// Column of the label: 0 or 1 for match, a class name for classification.
    #[arg(long, default_value = "label")]
    label_column: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Where to compute: cpu, cuda, or cuda:1 with a GPU's number.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: DeviceChoice,
}

pub(super) fn run(arguments: &Eval) -> Result<(), TrainError> {
    let device = arguments.device.open_one()?;
    let (config, tokenizer, labels) = read_parts(&arguments.checkpoint)?;
    let state = State::read(&arguments.checkpoint)?;
    let (model, _) = load_network(&arguments.checkpoint, &config, Some(state.task), &device)?;
    let is_match = state.task == Task::Match;
    let mut columns = vec![arguments.label_column.clone()];
    if is_match {
        columns.push(arguments.tag_column.clone());
    }
    let products = ProductOptions {
        images: arguments.images.clone(),
        // A product has a row for each of its tags.
        duplicate_ids: if is_match { DuplicateIds::Allow } else { DuplicateIds::Refuse },
        ..ProductOptions::default()
    };
    let options = CorpusOptions { products, columns, max_bad_rows: 1.0, ..CorpusOptions::default() };
    let preprocessor = Preprocessor::new(&config);
    let mut corpus = Corpus::read(&arguments.input, &options, &preprocessor)?;
    for bad in &corpus.bad_rows {
        eprintln!("left out: {bad}");
    }
    corpus.tokenize(&tokenizer);
    let (rows, tags) = if is_match {
        let (rows, names) = match_rows(&corpus);
        (rows, Some(Arc::new(TagSet::new(names, &tokenizer))))
    } else {
        (labelled(&corpus.items, &labels.unwrap_or_default()), None)
    };
    if rows.is_empty() {
        let reason = format!("column `{}` has no usable label", arguments.label_column);
        return Err(TrainError::NoRows { path: arguments.input.clone(), reason });
    }
    let max_tokens = config.max_text_tokens();
    let assembler = Assembler {
        corpus: Arc::new(corpus),
        tags,
        tokenizer: Arc::new(tokenizer),
        preprocessor,
        form: Form { max_tokens, title_position: config.attention.title_position().filter(|_| is_match) },
        teacher: None,
        augmentation: Augmentation { flip: false, min_area: 1.0 },
        extra: Extra::Nothing,
    };
    let measured = evaluate(&model, &assembler, &rows, BATCH, &device)?;
    if arguments.json {
        println!("{}", serde_json::json!(measured));
        return Ok(());
    }
    println!("{:<7} {:>6} {:>8} {:>9} {:>8} {:>13}", "variant", "rows", "loss", "accuracy", "ROC-AUC", "mean of tags");
    for (variant, metrics) in measured {
        let area = |area: Option<f64>| area.map_or_else(|| "-".to_owned(), |area| format!("{area:.4}"));
        let by_tag = match metrics.tags {
            Some(tags) => format!("{} ({tags})", area(metrics.tag_roc_auc)),
            None => "-".to_owned(),
        };
        println!(
            "{variant:<7} {:>6} {:>8.4} {:>9.4} {:>8} {by_tag:>13}",
            metrics.rows,
            metrics.loss,
            metrics.accuracy,
            area(metrics.roc_auc)
        );
    }
    Ok(())
}

/// Rows of the products whose label is yes or no, and the tags they name.
fn match_rows(corpus: &Corpus) -> (Vec<Row>, Vec<String>) {
    let mut names: Vec<String> = Vec::new();
    let mut index: HashMap<String, u32> = HashMap::new();
    let mut rows = Vec::new();
    for (item, product) in corpus.items.iter().enumerate() {
        let [label, tag] = product.values.as_slice() else { continue };
        let Some(label) = truth(&Value::String(label.clone())) else { continue };
        let tag = *index.entry(tag.clone()).or_insert_with(|| {
            names.push(tag.clone());
            names.len() as u32 - 1
        });
        rows.push(Row { item, tag: Some(tag), label: u32::from(label), other: None });
    }
    (rows, names)
}
