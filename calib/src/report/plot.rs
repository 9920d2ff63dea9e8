//! The picture: for each graph and engine, what the logits of the rows differ by.

use std::fmt::Write;

use super::Report;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 56.0;

/// Points of a panel; more rows are thinned out evenly.
const POINTS: usize = 2000;

/// A panel for each comparison: logit of the f32 graph to the right, difference of the 8-bit graph's upwards.
pub(super) fn svg(report: &Report) -> String {
    let panels: Vec<(String, &[(f32, f32)])> = report
        .artifacts
        .iter()
        .flat_map(|artifact| artifact.engines.iter().map(move |engine| (artifact, engine)))
        .map(|(artifact, engine)| (format!("{}, {}", artifact.variant, engine.engine), engine.points.as_slice()))
        .collect();
    let columns = panels.len().clamp(1, 2);
    let lines = panels.len().div_ceil(columns).max(1);
    let (width, height) = (columns as f64 * (WIDTH + MARGIN) + MARGIN, lines as f64 * (HEIGHT + 2.0 * MARGIN));
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (number, (title, points)) in panels.iter().enumerate() {
        let left = MARGIN + (number % columns) as f64 * (WIDTH + MARGIN);
        let top = MARGIN + (number / columns) as f64 * (HEIGHT + 2.0 * MARGIN);
        panel(&mut text, title, points, left, top);
    }
    text.push_str("</svg>\n");
    text
}

fn panel(text: &mut String, title: &str, points: &[(f32, f32)], left: f64, top: f64) {
    let ends = |values: &mut dyn Iterator<Item = f32>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v.into()), high.max(v.into())))
    };
    let (low, high) = ends(&mut points.iter().map(|point| point.0));
    let (least, most) = ends(&mut points.iter().map(|point| point.1));
    let span = (high - low).max(1e-9);
    let reach = least.abs().max(most.abs()).max(1e-9);
    let middle = top + HEIGHT / 2.0;
    let x = |logit: f64| left + (logit - low) / span * WIDTH;
    let y = |difference: f64| middle - difference / reach * HEIGHT / 2.0;
    let _ = writeln!(
        text,
        "<text x=\"{left}\" y=\"{:.0}\" font-weight=\"bold\">{title}</text>\n\
         <rect x=\"{left}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#999\"/>\n\
         <line x1=\"{left}\" x2=\"{:.0}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"#ccc\"/>",
        top - 8.0,
        left + WIDTH
    );
    let mut label = |x: f64, y: f64, anchor: &str, value: String| {
        let _ = writeln!(text, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\" fill=\"#555\">{value}</text>");
    };
    label(left, top + HEIGHT + 16.0, "start", format!("{low:.2}"));
    label(left + WIDTH, top + HEIGHT + 16.0, "end", format!("{high:.2}"));
    label(left + WIDTH / 2.0, top + HEIGHT + 16.0, "middle", "logit of f32".to_owned());
    label(left - 4.0, top + 10.0, "end", format!("{reach:.1e}"));
    label(left - 4.0, top + HEIGHT, "end", format!("-{reach:.1e}"));
    let step = points.len().div_ceil(POINTS).max(1);
    for (logit, difference) in points.iter().step_by(step) {
        let (x, y) = (x(f64::from(*logit)), y(f64::from(*difference)));
        let _ = writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.6\" fill=\"#2563eb\" fill-opacity=\"0.5\"/>");
    }
}
