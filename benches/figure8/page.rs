//! The figure and its table: both parts of each model by batch, and how the sums compare with MBSD's.

use std::fmt::Write as _;

use mbsd_runtime::bench::{Key, Report};
use mbsd_spec::chart::{self, Across, Chart, Point, Series, escape};

use crate::models::{IMAGE, TRANSFORMER};

/// What the paper says of its own figure (section 4.7.4), on another machine.
const CLAIM: &str = "The paper measures on a V100 and says that MBSD is at least three times faster than models with a heavy image \
                     encoder, FashionBERT and Kaleido-BERT.";

/// The model that the others are compared with.
const OURS: &str = "MBSD";

/// Milliseconds of a part, with their interval.
type Time = (f64, Option<[f64; 2]>);

/// The name of a model from that of a subject.
fn model_of<'a>(key: &'a Key, part: &str) -> Option<&'a str> {
    key.subject.strip_suffix(part).map(str::trim_end)
}

fn engines(report: &Report) -> Vec<&str> {
    let measured = |engine: &&str| report.measured().any(|(key, _)| key.engine == **engine);
    report.engines.iter().map(|info| info.engine.as_str()).filter(measured).collect()
}

fn models(report: &Report) -> Vec<String> {
    let mut models: Vec<String> = Vec::new();
    for subject in &report.subjects {
        let name = subject.name.trim_end_matches(IMAGE).trim_end_matches(TRANSFORMER).trim_end().to_owned();
        if !models.contains(&name) {
            models.push(name);
        }
    }
    models
}

fn batches(report: &Report) -> Vec<usize> {
    let mut batches: Vec<usize> = report.measured().map(|(key, _)| key.batch).collect();
    batches.sort_unstable();
    batches.dedup();
    batches
}

fn time(report: &Report, engine: &str, model: &str, part: &str, batch: usize) -> Option<Time> {
    let of = |key: &Key| key.engine == engine && key.batch == batch && model_of(key, part) == Some(model);
    report.measured().find(|(key, _)| of(key)).map(|(_, m)| (m.p50_ms, m.p50_interval_ms))
}

/// Of both parts; a model that encodes no image has one.
fn total(report: &Report, engine: &str, model: &str, batch: usize) -> Option<f64> {
    let has_image = report.subjects.iter().any(|subject| subject.name == format!("{model} {IMAGE}"));
    let image = if has_image { time(report, engine, model, IMAGE, batch)?.0 } else { 0.0 };
    Some(image + time(report, engine, model, TRANSFORMER, batch)?.0)
}

fn columns(report: &Report) -> Vec<String> {
    let mut columns = vec!["engine".to_owned(), "model".to_owned()];
    for batch in batches(report) {
        columns.push(format!("batch {batch}: image"));
        columns.push("transformer".to_owned());
        columns.push("both".to_owned());
        columns.push(format!("through {OURS}"));
    }
    columns
}

fn lines(report: &Report) -> Vec<Vec<String>> {
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), chart::number);
    let mut lines = Vec::new();
    for engine in engines(report) {
        for model in models(report) {
            let mut line = vec![engine.to_owned(), model.clone()];
            for batch in batches(report) {
                let part = |part| time(report, engine, &model, part, batch).map(|(ms, _)| ms);
                let both = total(report, engine, &model, batch);
                let ours = total(report, engine, OURS, batch);
                line.extend([shown(part(IMAGE)), shown(part(TRANSFORMER)), shown(both)]);
                line.push(both.zip(ours).map_or_else(|| "-".to_owned(), |(both, ours)| format!("{:.2}", both / ours)));
            }
            lines.push(line);
        }
    }
    lines
}

/// The table as Markdown.
pub(crate) fn table(report: &Report) -> String {
    let columns = columns(report);
    let mut text = format!("Milliseconds (medians) of a request.\n\n| {} |\n", columns.join(" | "));
    let rules: Vec<&str> = (0..columns.len()).map(|column| if column < 2 { "---" } else { "---:" }).collect();
    let _ = writeln!(text, "|{}|", rules.join("|"));
    for line in lines(report) {
        let _ = writeln!(text, "| {} |", line.join(" | "));
    }
    text
}

/// The figure as a page.
pub(crate) fn html(report: &Report, text: usize) -> String {
    let machine = report.machine.cpu.as_deref().unwrap_or("unknown processor");
    let noise = if report.noise.quiet {
        String::new()
    } else {
        format!("<p class=\"warn\">The machine was not quiet: {}.</p>", escape(&report.noise.reasons.join("; ")))
    };
    let lead = format!(
        "<p class=\"soft\">{}, {} cores. Base size, {text} text tokens; image encoding and transformer are graphs of their own, \
         heavy encoders are given the patches of one image at a time. Medians with 95% intervals over {} rounds.</p><p>{CLAIM}</p>{noise}",
        escape(machine),
        report.machine.cores,
        report.rounds
    );
    let mut body = String::new();
    for engine in engines(report) {
        let charts = [("Image encoding", IMAGE), ("Transformer", TRANSFORMER)].map(|(title, part)| {
            let time = |model: &str, batch| {
                time(report, engine, model, part, batch).map(|(y, interval)| Point { x: batch as f64, y, interval })
            };
            (title, figure(report, time))
        });
        let both = figure(report, |model, batch| {
            total(report, engine, model, batch).map(|y| Point { x: batch as f64, y, interval: None })
        });
        let section = |(title, chart): (&str, Chart)| format!("<section><h3>{title}</h3>{}</section>", chart.html());
        let sections: String = charts.into_iter().chain([("Both", both)]).map(section).collect();
        let _ = write!(body, "<h2>{engine}</h2><div class=\"grid\">{sections}</div>");
    }
    let _ = write!(body, "<h2>Milliseconds</h2>{}", chart::table(&columns(report), &lines(report), 2));
    chart::page("Figure 8: testing time by batch", &lead, &body)
}

fn figure(report: &Report, point: impl Fn(&str, usize) -> Option<Point>) -> Chart {
    let series = models(report).into_iter().filter_map(|model| {
        let points: Vec<Point> = batches(report).into_iter().filter_map(|batch| point(&model, batch)).collect();
        (!points.is_empty()).then_some(Series { name: model, points })
    });
    Chart {
        x: "rows of a request".to_owned(),
        y: "ms of a request".to_owned(),
        across: Across::Steps,
        from_zero: true,
        series: series.collect(),
    }
}
