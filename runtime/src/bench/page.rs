//! The report as a page with plots.

use std::fmt::Write as _;

use mbsd_spec::chart::{self, Across, Chart, Point, Series, escape};

use super::load::Load;
use super::markdown::NUMBERS;
use super::report::{Key, Measurement, Report};

/// A measured cell.
type Measured<'a> = (&'a Key, &'a Measurement);

impl Report {
    /// The report as one self-contained HTML file.
    pub fn html(&self) -> String {
        let mut lead = String::new();
        for line in self.heading() {
            let class = if line.starts_with("THE MACHINE") { "warn" } else { "soft" };
            let _ = write!(lead, "<p class=\"{class}\">{}</p>", escape(&line));
        }
        let mut body = String::new();
        for (name, group) in self.groups() {
            let charts = charts(&group);
            let sections: String = charts.iter().map(|(title, chart)| section(title, chart)).collect();
            let _ = write!(body, "<h2>{}</h2><div class=\"grid\">{sections}</div>", escape(&name));
        }
        let (columns, lines) = self.table();
        let _ = write!(
            body,
            "<h2>All figures</h2><p class=\"soft\">Times are of a request. ± is half the width of a 95% interval over rounds. Load is \
             from a new process to a session; first, the first request after it. Memory is the most that the process had. CPU is \
             processor time of a request over all threads.</p>{}",
            chart::table(&columns, &lines, NUMBERS)
        );
        let stages = self.stages();
        if !stages.is_empty() {
            let columns = ["cell", "tokenize", "decode", "preprocess", "collate", "infer"].map(str::to_owned);
            let _ = write!(body, "<h2>Milliseconds by stage</h2>{}", chart::table(&columns, &stages, 1));
        }
        let missing = self.missing();
        if !missing.is_empty() {
            let line = |(cell, reason): &(String, String)| format!("<li>{}: {}</li>", escape(cell), escape(reason));
            let _ = write!(body, "<h2>Not measured</h2><ul>{}</ul>", missing.iter().map(line).collect::<String>());
        }
        chart::page("Latency comparison", &lead, &body)
    }

    /// Cells that are compared in one row of plots: of one graph's variant on one number of threads.
    fn groups(&self) -> Vec<(String, Vec<Measured<'_>>)> {
        let mut groups: Vec<(String, Vec<Measured<'_>>)> = Vec::new();
        for (key, measurement) in self.measured() {
            let variant = key.variant.map_or_else(String::new, |variant| format!(", {variant}"));
            let threads = format!("{} thread{}", key.threads, if key.threads == 1 { "" } else { "s" });
            let name = format!("{}{variant}, {threads}", key.subject);
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, group)) => group.push((key, measurement)),
                None => groups.push((name, vec![(key, measurement)])),
            }
        }
        groups
    }
}

fn section(title: &str, chart: &Chart) -> String {
    format!("<section><h3>{}</h3>{}</section>", escape(title), chart.html())
}

fn charts(group: &[Measured<'_>]) -> Vec<(String, Chart)> {
    let closed: Vec<Measured<'_>> = group.iter().copied().filter(|(key, _)| key.load == Load::Closed).collect();
    let values = |of: fn(&Key) -> Option<usize>| {
        let mut values: Vec<usize> = closed.iter().filter_map(|(key, _)| of(key)).collect();
        values.sort_unstable();
        values.dedup();
        values
    };
    let (texts, batches) = (values(|key| key.text), values(|key| Some(key.batch)));
    let by_batch = |title: &str, y: &str, figure: &dyn Fn(&Measurement) -> Option<Point>| -> Vec<(String, Chart)> {
        let each: Vec<Option<usize>> =
            if texts.is_empty() { vec![None] } else { texts.iter().copied().map(Some).collect() };
        let of_text = |text: Option<usize>| {
            let cells = closed.iter().copied().filter(|(key, _)| key.text == text);
            let series = series(cells, |key| key.batch as f64, figure);
            let title = text.map_or_else(|| title.to_owned(), |text| format!("{title}, {text} text tokens"));
            (title, steps("rows of a request", y, series))
        };
        each.into_iter().map(of_text).filter(|(_, chart)| !chart.series.is_empty()).collect()
    };
    let mut charts = by_batch("Latency by batch", "ms of a request (median)", &latency);
    if texts.len() > 1 {
        for batch in batches {
            let cells = closed.iter().copied().filter(|(key, _)| key.batch == batch);
            let series = series(cells, |key| key.text.unwrap_or(0) as f64, &latency);
            charts.push((
                format!("Latency by length, batch {batch}"),
                steps("text tokens of a row", "ms of a request (median)", series),
            ));
        }
    }
    charts.push(("Throughput against latency".to_owned(), against(group)));
    charts.extend(by_batch("Share of the machine's f32 peak", "%", &|m| {
        m.share_of_peak.map(|share| Point { x: 0.0, y: 100.0 * share, interval: None })
    }));
    charts
}

fn steps(x: &str, y: &str, series: Vec<Series>) -> Chart {
    Chart { x: x.to_owned(), y: y.to_owned(), across: Across::Steps, from_zero: true, series }
}

fn latency(m: &Measurement) -> Option<Point> {
    Some(Point { x: 0.0, y: m.p50_ms, interval: m.p50_interval_ms })
}

/// A line for each engine and precision.
fn series<'a>(
    cells: impl Iterator<Item = Measured<'a>>,
    x: impl Fn(&Key) -> f64,
    figure: &dyn Fn(&Measurement) -> Option<Point>,
) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    for (key, measurement) in cells {
        let Some(point) = figure(measurement).map(|point| Point { x: x(key), ..point }) else { continue };
        push(&mut series, label(key), point);
    }
    for line in &mut series {
        line.points.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    series
}

fn push(series: &mut Vec<Series>, name: String, point: Point) {
    match series.iter_mut().find(|line| line.name == name) {
        Some(line) => line.points.push(point),
        None => series.push(Series { name, points: vec![point] }),
    }
}

fn label(key: &Key) -> String {
    let precision = key.precision.map_or_else(String::new, |precision| format!(" {precision}"));
    format!("{}{precision}{}", key.engine, if key.pipeline { ", whole way" } else { "" })
}

/// Rows a second over the latency they are had at, whatever the load; a line for each length.
fn against(group: &[Measured<'_>]) -> Chart {
    let several = group.iter().any(|(key, _)| key.text != group[0].0.text);
    let mut series = Vec::new();
    for (key, m) in group {
        let text = key.text.filter(|_| several).map_or_else(String::new, |text| format!(", {text} tokens"));
        let point = Point { x: m.p50_ms, y: m.items_per_second, interval: m.items_per_second_interval };
        push(&mut series, format!("{}{text}", label(key)), point);
    }
    for line in &mut series {
        line.points.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    Chart {
        x: "ms of a request (median)".to_owned(),
        y: "rows a second".to_owned(),
        across: Across::Linear,
        from_zero: true,
        series,
    }
}

#[cfg(test)]
mod tests {
    use mbsd_spec::Precision;

    use crate::bench::testing::{cell, key, report};

    #[test]
    fn a_page_has_its_plots_and_figures_and_loads_nothing() {
        let mut cells = Vec::new();
        for (engine, base) in [("tract", 50.0), ("ort-cpu", 40.0)] {
            for batch in [1, 8] {
                for text in [32, 144] {
                    let mut key = key(engine, Precision::F32, batch);
                    key.text = Some(text);
                    let ms = base * batch as f64 * text as f64 / 32.0;
                    cells.push(cell(key, &[ms, ms * 1.02, ms * 1.01]));
                }
            }
        }
        let page = report(cells).html();
        for text in [
            "Latency by batch, 32 text tokens",
            "Latency by length, batch 8",
            "Throughput against latency",
            "Share of the machine&#39;s f32 peak, 144 text tokens",
            "ort-cpu f32",
            "A processor",
            "0123456789ab",
        ] {
            let text = text.replace("&#39;", "'");
            assert!(page.contains(&text), "`{text}` is not in the page");
        }
        assert!(!page.contains("<script") && !page.contains("http") && !page.contains("NaN"));
    }
}
