//! `mbsd train eval`: a checkpoint's measures on labelled rows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use mbsd_data::{DuplicateIds, Ids, ProductOptions, ProductPairOptions};
use mbsd_net::load_network;
use mbsd_spec::image::Preprocessor;
use mbsd_spec::{Task, Variant};

use crate::checkpoint::{State, read_parts};
use crate::data::{Assembler, Augmentation, Corpus, CorpusOptions, Extra, Form, TagSet};
use crate::device::DeviceChoice;
use crate::evaluate::{Metrics, evaluate};
use crate::run::{MatchSettings, Objective, Stage2Settings};
use crate::session::{Texts, compared, labelled, side_by_side, tagged};
use crate::{Run, TrainError};

/// Rows scored at once.
const BATCH: usize = 64;

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub(super) struct Eval {
    /// The checkpoint's folder.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Products: Parquet, JSON Lines, CSV or TSV; a folder or a pattern.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Folder of image paths; beside the input by default.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// The columns of a CSV or TSV file without a header line, from left to right, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    header: Option<Vec<String>>,
    /// Column of the product id [default: as in training, or the rows' numbers where training took those].
    #[arg(long, value_name = "NAME")]
    id_column: Option<String>,
    /// Column of the title [default: as in training].
    #[arg(long, value_name = "NAME")]
    title_column: Option<String>,
    /// Column of the image, a path or embedded bytes [default: as in training].
    #[arg(long, value_name = "NAME")]
    image_column: Option<String>,
    /// Column of the tag, or of the query (match) [default: as in training, else tag].
    #[arg(long, value_name = "NAME")]
    tag_column: Option<String>,
    /// Column of the label: 0 or 1 for match, a class name for classification [default: as in training, else label].
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,
    /// Labelled pairs of products (alignment): a table with columns `source`, `target` and `label`. Not needed where the rows of the
    /// input hold both products, as in training.
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Where to compute: cpu, cuda, cuda:1 with a GPU's number, or webgpu.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: DeviceChoice,
}

pub(super) fn run(arguments: &Eval) -> Result<(), TrainError> {
    let device = arguments.device.open_one()?;
    let (config, tokenizer, labels) = read_parts(&arguments.checkpoint)?;
    let State { task, run, .. } = State::read(&arguments.checkpoint)?;
    if run.objective == Objective::Stage1 {
        let reason = "a checkpoint of stage 1 answers no questions yet: measure one of stage 2 or of a task";
        return Err(TrainError::run(arguments.checkpoint.display().to_string(), reason));
    }
    let sides = run.alignment.as_ref().and_then(|settings| settings.rows(&run.data));
    match (task, &arguments.pairs) {
        (Task::Alignment, None) if sides.is_none() => {
            let reason = "this checkpoint compares products: give labelled pairs of them";
            return Err(TrainError::run("--pairs", reason));
        }
        (Task::Match | Task::Classification, Some(_)) => {
            return Err(TrainError::run("--pairs", format!("{task} has none: leave it out")));
        }
        _ => {}
    }
    let (model, _) = load_network(&arguments.checkpoint, &config, Some(task), &device)?;
    let options = options(arguments, task, &run);
    let preprocessor = Preprocessor::new(&config);
    let mut corpus = match sides.filter(|_| arguments.pairs.is_none()) {
        Some(sides) => {
            let sides = in_one_row(arguments, sides)?;
            Corpus::read_pairs(&arguments.input, &sides, &options, &preprocessor)?
        }
        None => Corpus::read(&arguments.input, &options, &preprocessor)?,
    };
    corpus.tokenize(&tokenizer);
    let mut texts = Texts::default();
    let (mut rows, mut unusable) = match (task, &arguments.pairs) {
        (Task::Match, _) => tagged(&corpus, &mut texts),
        (Task::Classification, _) => labelled(&corpus.items, &labels.unwrap_or_default()),
        (Task::Alignment, Some(pairs)) => compared(pairs, &corpus)?,
        (Task::Alignment, None) => side_by_side(&corpus),
    };
    let tags = (task == Task::Match).then(|| Arc::new(TagSet::new(texts.names, &tokenizer)));
    unusable.splice(0..0, corpus.bad_rows.iter().cloned());
    let assembler = Assembler {
        corpus: Arc::new(corpus),
        tags,
        tokenizer: Arc::new(tokenizer),
        preprocessor,
        form: Form::of(&config, task),
        teacher: None,
        augmentation: Augmentation { flip: false, min_area: 1.0 },
        extra: Extra::Nothing,
    };
    unusable.extend(assembler.take_too_long(&mut rows));
    unusable.iter().for_each(|row| eprintln!("left out: {row}"));
    if rows.is_empty() {
        let path = arguments.pairs.as_ref().unwrap_or(&arguments.input).clone();
        return Err(TrainError::NoRows { path, reason: "no row has a label that can be used".to_owned() });
    }
    let measured = evaluate(&model, &assembler, &rows, BATCH, &device)?;
    if arguments.json {
        println!("{}", serde_json::json!(measured));
    } else {
        print(&measured);
    }
    Ok(())
}

/// How the input is read: as in training, but for what is asked for.
fn options(arguments: &Eval, task: Task, run: &Run) -> CorpusOptions {
    let named = |given: &Option<String>, trained: Option<&String>, usual: &str| {
        given.as_ref().or(trained).cloned().unwrap_or_else(|| usual.to_owned())
    };
    let own = run.matching.as_ref().and_then(MatchSettings::own_columns);
    let own = own.or_else(|| run.stage2.as_ref().and_then(Stage2Settings::own_columns));
    let [tag, label] = own.map_or([None, None], |columns| columns.map(Some));
    let label = label.or_else(|| run.classification.as_ref().map(|settings| settings.label_column.clone()));
    let tag = named(&arguments.tag_column, tag.as_ref(), "tag");
    let label = named(&arguments.label_column, label.as_ref(), "label");
    let columns = match task {
        Task::Match => vec![tag, label],
        Task::Classification => vec![label],
        Task::Alignment => Vec::new(),
    };
    let data = &run.data;
    let products = ProductOptions {
        id_column: named(&arguments.id_column, Some(&data.id_column), "id"),
        title_column: named(&arguments.title_column, Some(&data.title_column), "title"),
        image_column: named(&arguments.image_column, Some(&data.image_column), "image"),
        images: arguments.images.clone(),
        header: arguments.header.clone(),
        // Pairs and named columns are of ids; otherwise these serve messages alone.
        ids: if arguments.pairs.is_some() || arguments.id_column.is_some() { Ids::Column } else { data.products().ids },
        // A product has a row for each of its tags.
        duplicate_ids: if task == Task::Match { DuplicateIds::Allow } else { DuplicateIds::Refuse },
        ..data.products()
    };
    CorpusOptions { products, columns, max_bad_rows: 1.0, ..CorpusOptions::default() }
}

/// How rows with two products lie in the input: as in training, but for what is asked for.
fn in_one_row(arguments: &Eval, trained: ProductPairOptions) -> Result<ProductPairOptions, TrainError> {
    for (name, given) in [
        ("--id-column", &arguments.id_column),
        ("--title-column", &arguments.title_column),
        ("--image-column", &arguments.image_column),
    ] {
        if given.is_some() {
            let reason = "rows with two products have their columns as in training: leave it out, or give --pairs";
            return Err(TrainError::run(name, reason));
        }
    }
    Ok(ProductPairOptions {
        images: arguments.images.clone(),
        header: arguments.header.clone(),
        label_column: arguments.label_column.clone().or(trained.label_column),
        ..trained
    })
}

/// The measures as a table; what a task does not have is a dash.
fn print(measured: &BTreeMap<Variant, Metrics>) {
    let heads = ["loss", "accuracy", "precision", "recall", "F1", "ROC-AUC"];
    let head: String = heads.iter().map(|head| format!(" {head:>9}")).collect();
    println!("{:<7} {:>6}{head} {:>13}", "variant", "rows", "mean of tags");
    let shown = |measure: Option<f64>| measure.map_or_else(|| "-".to_owned(), |measure| format!("{measure:.4}"));
    for (variant, metrics) in measured {
        let Metrics { loss, accuracy, precision, recall, f1, roc_auc, .. } = *metrics;
        let cells = [Some(loss), Some(accuracy), precision, recall, f1, roc_auc];
        let cells: String = cells.into_iter().map(|cell| format!(" {:>9}", shown(cell))).collect();
        let by_tag = match metrics.tags {
            Some(tags) => format!("{} ({tags})", shown(metrics.tag_roc_auc)),
            None => "-".to_owned(),
        };
        println!("{variant:<7} {:>6}{cells} {by_tag:>13}", metrics.rows);
    }
}
