//! `mbsd eval`.

use std::io::{Write, stderr, stdout};

use anyhow::Context;
use mbsd_data::staged::stage;
use mbsd_data::{DuplicateIds, Keep};
use mbsd_runtime::job::{self, Done, EvalOptions, Evaluation, MIN_TAG_ROWS, Tuned};
use mbsd_spec::bundle::names;
use mbsd_spec::{Bundle, Task};

use super::catalogue::{self, Progress};
use crate::cli::EvalArgs;

pub(crate) fn run(args: EvalArgs) -> anyhow::Result<()> {
    let model = catalogue::open_model(&args.bundle, &args.engine)?;
    let keep = match model.task() {
        Task::Match => vec![args.labels.label_column.clone(), args.labels.tag_column.clone()],
        Task::Classification => vec![args.labels.label_column.clone()],
        Task::Alignment => Vec::new(),
    };
    // Labelled data may have a row for each tag of a product; a pair names one row.
    let duplicates = if model.task() == Task::Alignment { DuplicateIds::Refuse } else { DuplicateIds::Allow };
    let products = catalogue::open_products(&args.input, Keep::Named(keep), duplicates)?;
    let progress = Progress::new(products.row_count());
    let session = args.engine.session_options();
    let report = |rows| progress.set(Done { rows, ..Done::default() });
    let options = EvalOptions {
        label_column: &args.labels.label_column,
        tag_column: &args.labels.tag_column,
        variant: args.variant,
        session: &session,
        workers: catalogue::workers(&args.engine),
        progress: &report,
    };
    if args.tune_thresholds {
        let manifest = args.bundle.bundle.join(names::MANIFEST);
        stage(&manifest).map(drop).with_context(|| format!("cannot write {}", manifest.display()))?;
        if let Some(variant) = args.variant {
            eprintln!("note: the thresholds of the bundle, for all of its graphs, are chosen by {variant} alone");
        }
        let tuned = job::tune_thresholds(&model, products, args.labels.pairs.as_deref(), &options)?;
        progress.finish();
        let _ = writeln!(stderr(), "{}: {}", args.input.input.display(), tuned.summary);
        tuned.store(&Bundle::open(&args.bundle.bundle)?)?;
        if args.json {
            return catalogue::print_json(&tuned);
        }
        let mut text = format!("{:<24}{:>10}{:>8}{:>10}{:>14}\n", "attribute", "threshold", "rows", "F1", "F1 before");
        let all = std::iter::once(("(any other)", &tuned.overall));
        for (name, Tuned { threshold, rows, f1, f1_before }) in
            all.chain(tuned.attributes.iter().map(|(name, tuned)| (name.as_str(), tuned)))
        {
            text.push_str(&format!("{name:<24}{threshold:>10.4}{rows:>8}{f1:>10.4}{f1_before:>14.4}\n"));
        }
        return stdout().write_all(text.as_bytes()).context("cannot write to the standard output");
    }
    let evaluation = match &args.labels.pairs {
        Some(pairs) => job::eval_pairs(&model, products, pairs, &options)?,
        None => job::eval(&model, products, &options)?,
    };
    progress.finish();
    let _ = writeln!(stderr(), "{}: {}", args.input.input.display(), evaluation.summary);
    if args.json {
        catalogue::print_json(&evaluation)?;
    } else {
        stdout().write_all(table(&evaluation).as_bytes()).context("cannot write to the standard output")?;
    }
    catalogue::fail_on_nothing(&evaluation.summary)
}

/// The measures, one a line.
fn table(evaluation: &Evaluation) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<22}{value}\n"));
    let variant = evaluation.variant.map_or("by what a product has", |variant| variant.name());
    line("variant", variant.to_owned());
    line("rows measured", evaluation.summary.scored.to_string());
    if evaluation.summary.scored > 0 {
        line("accuracy", format!("{:.4}", evaluation.accuracy));
        line("precision", format!("{:.4}", evaluation.precision));
        line("recall", format!("{:.4}", evaluation.recall));
        line("F1", format!("{:.4}", evaluation.f1));
    }
    if let Some(threshold) = evaluation.threshold {
        let own = evaluation.thresholds.iter().map(|(name, threshold)| format!(", {name} {threshold}"));
        line("threshold", format!("{threshold}{}", own.collect::<String>()));
        line("ROC-AUC", measure(evaluation.roc_auc));
    }
    if evaluation.task == Task::Match {
        let tags = evaluation.tags.unwrap_or(0);
        let area = measure(evaluation.per_tag_roc_auc);
        line("ROC-AUC, mean of tags", format!("{area} ({tags} tags with {MIN_TAG_ROWS} rows or more)"));
    }
    if let Some(classes) = evaluation.classes {
        line("classes", format!("{classes} (precision, recall and F1 are means over them)"));
    }
    line("products/s", format!("{:.1}", evaluation.summary.products_per_second));
    text
}

fn measure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}
