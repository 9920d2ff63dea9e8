//! The bar chart: what each graph knows of each attribute.

use std::fmt::Write as _;

use super::Measurement;
use super::html::escape;
use crate::catalogue::attributes::Attribute;

const WIDTH: usize = 440;
const LABELS: usize = 122;
const BAR: usize = 11;
const GROUP: usize = 3 * (BAR + 2) + 14;
const TOP: usize = 28;
/// Where chance ends: bars start here.
const FLOOR: f64 = 0.4;

/// Horizontal bars of ROC-AUC, a group an attribute, a bar a graph. Scales with its column.
pub(super) fn by_attribute(measurements: &[&Measurement]) -> String {
    let Some(first) = measurements.first() else { return String::new() };
    let height = TOP + first.by_attribute.len() * GROUP + 22;
    let plot = (WIDTH - LABELS - 40) as f64;
    let x = |auc: f64| LABELS as f64 + plot * ((auc - FLOOR) / (1.0 - FLOOR)).clamp(0.0, 1.0);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"ROC-AUC of each attribute by graph\">\n"
    );
    for tick in [0.5, 0.6, 0.7, 0.8, 0.9, 1.0] {
        let class = if tick == 0.5 { "chance" } else { "rule" };
        let _ = writeln!(
            svg,
            "<line class=\"{class}\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1}\" y2=\"{2}\"/><text class=\"tick\" x=\"{0:.1}\" \
             y=\"{3}\">{tick:.1}</text>",
            x(tick),
            TOP - 4,
            height - 20,
            height - 6
        );
    }
    for (i, m) in measurements.iter().enumerate() {
        let left = LABELS + i * 74;
        let _ = writeln!(
            svg,
            "<rect class=\"bar-{0}\" x=\"{left}\" y=\"6\" width=\"11\" height=\"11\"/><text x=\"{1}\" y=\"16\">{0}</text>",
            m.variant,
            left + 16
        );
    }
    for (row, (attribute, _)) in first.by_attribute.iter().enumerate() {
        let top = TOP + row * GROUP;
        let _ = writeln!(
            svg,
            "<text class=\"name\" x=\"{0}\" y=\"{1}\">{2}</text><text class=\"evidence\" x=\"{0}\" y=\"{3}\">{4}</text>",
            LABELS - 8,
            top + 18,
            escape(attribute.name),
            top + 31,
            place(attribute)
        );
        for (i, m) in measurements.iter().enumerate() {
            let Some((_, auc)) = m.by_attribute.iter().find(|(other, _)| other.name == attribute.name) else {
                continue;
            };
            let y = top + 4 + i * (BAR + 2);
            let _ = writeln!(
                svg,
                "<rect class=\"bar-{}\" x=\"{LABELS}\" y=\"{y}\" width=\"{:.1}\" height=\"{BAR}\"/><text class=\"value\" \
                 x=\"{:.1}\" y=\"{}\">{auc:.2}</text>",
                m.variant,
                x(*auc) - LABELS as f64,
                x(*auc) + 4.0,
                y + 9
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where the attribute shows, after its English name if it has another.
fn place(attribute: &Attribute) -> String {
    let phrase = attribute.evidence.phrase();
    if attribute.name.is_ascii() { phrase.to_owned() } else { format!("{}, {phrase}", attribute.english) }
}
