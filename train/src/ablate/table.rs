//! `table.md`.

use std::fmt::Write as _;

use mbsd_spec::{Architecture, Variant};

use super::results::{Measure, OF_MODELS, Results};
use super::statistics::Spread;

/// What stands where nothing is measured yet.
const NONE: &str = "-";

/// A table: its heading, its columns' names and its lines.
pub(super) struct Table {
    pub(super) heading: String,
    pub(super) columns: Vec<String>,
    pub(super) lines: Vec<Vec<String>>,
}

/// How the numbers are to be read.
pub(super) fn legend(results: &Results) -> String {
    let (finished, all) = results.progress();
    format!(
        "{finished} of {all} cells (a row with a seed) are finished. All numbers are percent, measured on the validation \
         rows after the last epoch: mean ± sample standard deviation over seeds. Differences are to the first row, or to the one that a row is said to be against, paired by \
         seed, with the 95% t-interval of their mean in brackets; (n) are the seeds that count where not all {} do.",
        results.seeds.len()
    )
}

/// One table for different networks, one a measure, and one for Figure 7.
pub(super) fn tables(results: &Results) -> Vec<Table> {
    let mut tables: Vec<Table> = models(results).into_iter().collect();
    tables.extend(results.measures.iter().map(|&measure| rows(results, measure)));
    if !results.uni_modal.is_empty() {
        let cell = |spread: Option<Spread>, signed| number(spread.as_ref(), results.seeds.len(), signed);
        let lines = results.uni_modal.iter().map(|pair| {
            let [without, with] = [pair.without, pair.with].map(|spread| cell(spread, false));
            vec![pair.modality.to_string(), pair.measure.title().to_owned(), without, with, cell(pair.difference, true)]
        });
        tables.push(Table {
            heading: "Fine-tuned with one modality (Figure 7)".to_owned(),
            columns: ["Modality", "Measure", "Without SDMI", "With SDMI", "Difference"].map(str::to_owned).to_vec(),
            lines: lines.collect(),
        });
    }
    tables
}

/// Each network with all that it reads, as in the paper's Tables 1, 4 and 5; `None` where all rows are MBSD.
fn models(results: &Results) -> Option<Table> {
    let whole = results.rows.iter().filter(|row| row.uni_modal.is_none());
    if whole.clone().all(|row| row.architecture == Architecture::Mbsd) {
        return None;
    }
    let measured = |measure: &Measure| whole.clone().any(|row| row.whole(*measure).is_some());
    let measures: Vec<Measure> = OF_MODELS.into_iter().filter(measured).collect();
    let mut columns = ["Model", "Paper", "Input"].map(str::to_owned).to_vec();
    columns.extend(measures.iter().map(|measure| measure.title().to_owned()));
    let lines = whole.clone().map(|row| {
        let paper = row.paper.clone().unwrap_or_else(|| NONE.to_owned());
        let mut line = vec![row.name.clone(), paper, row.architecture.variants()[0].to_string()];
        line.extend(measures.iter().map(|&m| number(row.whole(m).as_ref(), results.seeds.len(), false)));
        line
    });
    Some(Table { heading: "Models".to_owned(), columns, lines: lines.collect() })
}

fn rows(results: &Results, measure: Measure) -> Table {
    let mut columns = vec!["Row".to_owned(), "Paper".to_owned()];
    for variant in Variant::ENCODERS {
        columns.extend([variant.to_string(), "difference".to_owned()]);
    }
    let lines = results.rows.iter().map(|row| {
        let name = match &row.against {
            Some(against) => format!("{} (against {against})", row.name),
            None => row.name.clone(),
        };
        let mut line = vec![name, row.paper.clone().unwrap_or_else(|| NONE.to_owned())];
        for variant in Variant::ENCODERS {
            let summary = row.summary(variant, measure);
            line.push(number(summary.map(|summary| &summary.value), results.seeds.len(), false));
            let difference = summary.and_then(|summary| summary.difference.as_ref());
            line.push(number(difference, results.seeds.len(), true));
        }
        line
    });
    Table { heading: measure.title().to_owned(), columns, lines: lines.collect() }
}

/// `81.74 ± 0.30`, and for differences `-0.43 ± 0.21 [-0.95, 0.09]`.
fn number(spread: Option<&Spread>, seeds: usize, signed: bool) -> String {
    let Some(spread) = spread else { return NONE.to_owned() };
    let percent = 100.0 * spread.mean;
    let mut text = if signed { format!("{percent:+.2}") } else { format!("{percent:.2}") };
    if let Some(deviation) = spread.deviation {
        let _ = write!(text, " ± {:.2}", 100.0 * deviation);
    }
    if let Some([low, high]) = spread.interval.filter(|_| signed) {
        let _ = write!(text, " [{:+.2}, {:+.2}]", 100.0 * low, 100.0 * high);
    }
    if spread.seeds < seeds {
        let _ = write!(text, " ({})", spread.seeds);
    }
    text
}

/// The tables as Markdown.
pub(super) fn markdown(results: &Results) -> String {
    let mut text = format!("# Ablation\n\n{}\n", legend(results));
    for Table { heading, columns, lines } in tables(results) {
        let _ = write!(text, "\n## {heading}\n\n| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
        for line in lines {
            let cells: Vec<String> = line.iter().map(|cell| cell.replace('|', "\\|")).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
    }
    let failures = results.rows.iter().flat_map(|row| row.cells.iter().map(move |cell| (row, cell)));
    for (row, cell) in failures {
        if let Some(reason) = &cell.failure {
            let _ = write!(text, "\n{}, seed {}: {reason}\n", row.name, cell.seed);
        }
    }
    text
}
