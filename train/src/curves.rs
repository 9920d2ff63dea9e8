//! `curves.html`: the numbers of `metrics.jsonl` as pictures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use mbsd_spec::chart::{self, Across, Chart, Point, Series};
use serde_json::Value;

use crate::TrainError;

/// Its name in a run's folder.
pub(crate) const NAME: &str = "curves.html";

/// Points of a drawn line; a longer series is averaged down to them.
const POINTS: usize = 300;

/// Draws the log in `output` anew. Nothing is drawn where there is no log.
///
/// # Errors
/// [`TrainError::Io`].
pub(crate) fn write(output: &Path, title: &str) -> Result<(), TrainError> {
    let Ok(log) = std::fs::read_to_string(output.join("metrics.jsonl")) else { return Ok(()) };
    let path = output.join(NAME);
    std::fs::write(&path, page(&log, title)).map_err(TrainError::io("write", &path))
}

fn page(log: &str, title: &str) -> String {
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut body = String::new();
    for (heading, series) in charts(&lines) {
        let chart = Chart { x: "step".to_owned(), y: String::new(), across: Across::Linear, from_zero: false, series };
        let _ = write!(body, "<section><h2>{heading}</h2>{}</section>", chart.html());
    }
    if body.is_empty() {
        body.push_str("<p>No step has been logged yet.</p>");
    }
    let steps = lines.iter().filter_map(|line| line["step"].as_u64()).max().unwrap_or(0);
    chart::page(title, &format!("<p>{steps} steps</p>"), &format!("<div class=\"grid\">{body}</div>"))
}

/// What is worth a plot, with its lines.
fn charts(lines: &[Value]) -> Vec<(&'static str, Vec<Series>)> {
    let of_steps = |field: &'static str| series(lines, field, |line| line[field].as_f64());
    let mut loss = vec![of_steps("loss")];
    let terms: BTreeMap<&String, ()> = lines
        .iter()
        .filter_map(|line| line["terms"].as_object())
        .flat_map(|terms| terms.keys())
        .map(|k| (k, ()))
        .collect();
    loss.extend(terms.into_keys().map(|name| series(lines, name, |line| line["terms"][name].as_f64())));
    let validation = |field: &'static str| -> Vec<Series> {
        let variant = |name: &'static str| series(lines, name, move |line| line["validation"][name][field].as_f64());
        ["full", "text", "image"].into_iter().map(variant).collect()
    };
    let charts = [
        ("Loss", loss),
        ("Validation: loss", validation("loss")),
        ("Validation: ROC-AUC", validation("roc_auc")),
        ("Validation: mean of the tags' ROC-AUC", validation("tag_roc_auc")),
        ("Validation: accuracy", validation("accuracy")),
        ("Validation: pixel error of hidden patches", validation("patch_error")),
        ("Norm of the gradients", vec![of_steps("gradient_norm")]),
        ("Learning rate", vec![of_steps("learning_rate")]),
        ("Samples per second", vec![of_steps("samples_per_second")]),
    ];
    let drawn = charts.into_iter().map(|(heading, mut series)| {
        series.retain(|line| !line.points.is_empty());
        (heading, series)
    });
    drawn.filter(|(_, series)| !series.is_empty()).collect()
}

fn series(lines: &[Value], name: &str, value: impl Fn(&Value) -> Option<f64>) -> Series {
    let points: Vec<(f64, f64)> =
        lines.iter().filter_map(|line| Some((line["step"].as_f64()?, value(line)?))).collect();
    let chunk = points.len().div_ceil(POINTS).max(1);
    let mean = |points: &[(f64, f64)]| {
        let count = points.len() as f64;
        let of = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).sum::<f64>() / count;
        Point { x: of(|p| p.0), y: of(|p| p.1), interval: None }
    };
    Series { name: name.replace('_', " "), points: points.chunks(chunk).map(mean).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_logged_is_drawn_and_nothing_else() {
        let log = "{\"step\": 50, \"loss\": 2.0, \"terms\": {\"mlm\": 1.5, \"mpm\": 0.5}}\n\
                   {\"step\": 100, \"loss\": 1.0, \"terms\": {\"mlm\": 0.75, \"mpm\": 0.25}}\n\
                   {\"step\": 100, \"validation\": {\"full\": {\"loss\": 1.1, \"roc_auc\": 0.8}}}\ncut sho";
        let page = page(log, "stage1");
        for drawn in ["<h2>Loss</h2>", ">mlm<", ">mpm<", "Validation: ROC-AUC", "100 steps"] {
            assert!(page.contains(drawn), "{drawn} is not in {page}");
        }
        assert!(!page.contains("Learning rate") && !page.contains(">text<") && !page.contains("NaN"));
    }

    #[test]
    fn an_empty_log_is_a_page_too() {
        assert!(page("", "match").contains("No step has been logged yet"));
    }

    #[test]
    fn a_long_series_is_averaged() {
        let lines: Vec<Value> = (0..3000).map(|i| serde_json::json!({"step": i, "loss": f64::from(i % 2)})).collect();
        let Series { points, .. } = series(&lines, "loss", |line| line["loss"].as_f64());
        assert!(points.len() <= POINTS && points.iter().all(|p| (p.y - 0.5).abs() < 0.01));
    }
}
