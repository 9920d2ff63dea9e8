//! `curves.html`: the numbers of `metrics.jsonl` as pictures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::TrainError;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 240.0;
/// Room for the numbers left of and below a plot, and for the legend above it.
const LEFT: f64 = 58.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 26.0;
/// Points of a drawn line; a longer series is averaged down to them.
const POINTS: usize = 300;
const COLOURS: [&str; 6] = ["#2f6f9f", "#c4572e", "#4d8f4d", "#8a5fa8", "#a8862b", "#5a6672"];

/// A line: its name and its points, `(step, value)`.
type Series = (String, Vec<(f64, f64)>);

/// Draws the log in `output` anew. Nothing is drawn where there is no log.
///
/// # Errors
/// [`TrainError::Io`].
pub(crate) fn write(output: &Path, title: &str) -> Result<(), TrainError> {
    let Ok(log) = std::fs::read_to_string(output.join("metrics.jsonl")) else { return Ok(()) };
    let path = output.join("curves.html");
    std::fs::write(&path, page(&log, title)).map_err(TrainError::io("write", &path))
}

fn page(log: &str, title: &str) -> String {
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut body = String::new();
    for (heading, series) in charts(&lines) {
        let _ = write!(body, "<section><h2>{heading}</h2>{}</section>", chart(&series));
    }
    if body.is_empty() {
        body.push_str("<p>No step has been logged yet.</p>");
    }
    let steps = lines.iter().filter_map(|line| line["step"].as_u64()).max().unwrap_or(0);
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{title}: training</title><style>\
         body{{font:15px/1.5 system-ui,sans-serif;margin:0 auto;padding:1.2rem;max-width:76rem;color:#222;background:#fff}}\
         h1{{font-size:1.3rem;margin:0 0 .2rem}}h2{{font-size:1rem;margin:.4rem 0}}p{{margin:.2rem 0 1rem;color:#555}}\
         main{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:1rem}}\
         section{{border:1px solid #ddd;border-radius:6px;padding:.4rem .8rem;min-width:0}}svg{{width:100%;height:auto}}\
         text{{font:11px system-ui,sans-serif;fill:#444}}.rule{{stroke:#e4e4e4}}</style>\
         <h1>{title}</h1><p>{steps} steps</p><main>{body}</main></html>\n"
    )
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
        series.retain(|(_, points)| !points.is_empty());
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
        (points.iter().map(|p| p.0).sum::<f64>() / count, points.iter().map(|p| p.1).sum::<f64>() / count)
    };
    (name.to_owned(), points.chunks(chunk).map(mean).collect())
}

fn chart(series: &[Series]) -> String {
    let all = || series.iter().flat_map(|(_, points)| points);
    let range = |value: fn(&(f64, f64)) -> f64| {
        let (low, high) = all().map(value).fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        if high > low { (low, high) } else { (low - 0.5 * low.abs().max(1e-9), high + 0.5 * high.abs().max(1e-9)) }
    };
    let ((first, last), (low, high)) = (range(|p| p.0), range(|p| p.1));
    let x = |step: f64| LEFT + (step - first) / (last - first) * (WIDTH - LEFT - 10.0);
    let y = |value: f64| HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - BOTTOM - TOP - 6.0);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        let (value, step) = (low + share * (high - low), first + share * (last - first));
        let _ = write!(
            svg,
            "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{0}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/>\
             <text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{4}</text>\
             <text x=\"{5:.1}\" y=\"{6}\" text-anchor=\"middle\">{step:.0}</text>",
            WIDTH - 10.0,
            y(value),
            LEFT - 6.0,
            y(value) + 4.0,
            number(value),
            x(step).min(WIDTH - 22.0),
            HEIGHT - 6.0
        );
    }
    for (index, (name, points)) in series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let left = LEFT + 82.0 * index as f64;
        let line: String = points.iter().map(|&(step, value)| format!("{:.1},{:.1} ", x(step), y(value))).collect();
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>\
             <circle cx=\"{2:.1}\" cy=\"{3:.1}\" r=\"2.4\" fill=\"{colour}\"/>\
             <rect x=\"{left}\" y=\"6\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{4}\" y=\"15\">{1}</text>",
            line.trim_end(),
            name.replace('_', " ").replace('&', "&amp;").replace('<', "&lt;"),
            points.last().map_or(0.0, |p| x(p.0)),
            points.last().map_or(0.0, |p| y(p.1)),
            left + 14.0
        );
    }
    svg + "</svg>"
}

/// A value at an axis, in as few characters as tell it from its neighbours.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 0.01 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
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
        let (_, points) = series(&lines, "loss", |line| line["loss"].as_f64());
        assert!(points.len() <= POINTS && points.iter().all(|p| (p.1 - 0.5).abs() < 0.01));
    }
}
