//! Line charts and the pages around them: one file of HTML with SVG in it, no scripts, nothing loaded from elsewhere,
//! readable wide and narrow, in the light and in the dark.

use std::fmt::Write as _;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 250.0;
/// Room for the numbers left of and below a plot.
const LEFT: f64 = 58.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 10.0;
const RIGHT: f64 = 14.0;
/// Series that differ in colour; those after them differ in their dashes.
const COLOURS: usize = 6;

/// A point, with the interval that its value is sure to, if that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Where it lies across.
    pub x: f64,
    /// Its value.
    pub y: f64,
    /// From where to where the value may lie.
    pub interval: Option<[f64; 2]>,
}

/// A line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// From left to right.
    pub points: Vec<Point>,
}

/// How places across are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Across {
    /// By the numbers.
    Linear,
    /// The numbers that occur stand side by side at equal distances, as steps such as 1, 8, 32 read best.
    Steps,
}

/// Lines over common axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What is across, with its unit.
    pub x: String,
    /// What is upward, with its unit.
    pub y: String,
    /// How places across are found.
    pub across: Across,
    /// Whether values begin at 0, as amounts should that are compared by their heights.
    pub from_zero: bool,
    /// The lines.
    pub series: Vec<Series>,
}

impl Chart {
    /// The chart with its legend, as HTML.
    pub fn html(&self) -> String {
        let all = || self.series.iter().flat_map(|series| &series.points);
        let mut steps: Vec<f64> = all().map(|point| point.x).collect();
        steps.sort_by(f64::total_cmp);
        steps.dedup();
        let (Some(&first), Some(&last)) = (steps.first(), steps.last()) else {
            return "<p>Nothing was measured.</p>".to_owned();
        };
        let horizontal = Scale::new(first, last);
        let place = |x: f64| match self.across {
            Across::Linear => horizontal.place(x),
            Across::Steps if steps.len() > 1 => {
                steps.iter().position(|&step| step == x).unwrap_or(0) as f64 / (steps.len() - 1) as f64
            }
            _ => 0.5,
        };
        let x = |at: f64| LEFT + (0.02 + 0.96 * place(at)) * (WIDTH - LEFT - RIGHT);
        // An amount is not negative, however unsure it is.
        let bound = |value: f64| if self.from_zero { value.max(0.0) } else { value };
        let values =
            all().flat_map(|point| [point.y].into_iter().chain(point.interval.into_iter().flatten().map(bound)));
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let scale = Scale::new(if self.from_zero { low.min(0.0) } else { low }, high);
        let y = |value: f64| HEIGHT - BOTTOM - scale.place(value) * (HEIGHT - BOTTOM - TOP);

        let label = format!("{} by {}", self.y, self.x);
        let label = label.trim_start();
        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", escape(label));
        for tick in scale.ticks() {
            let _ = write!(
                svg,
                "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/><text x=\"{2}\" y=\"{3:.1}\" \
                 text-anchor=\"end\">{4}</text>",
                WIDTH - RIGHT,
                y(tick),
                LEFT - 6.0,
                y(tick) + 4.0,
                number(tick)
            );
        }
        let ticks = match self.across {
            Across::Steps => steps.clone(),
            Across::Linear => horizontal.ticks().collect(),
        };
        for tick in ticks {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                x(tick),
                HEIGHT - BOTTOM + 16.0,
                number(tick)
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" class=\"axis\">{}</text>",
            f64::midpoint(LEFT, WIDTH - RIGHT),
            HEIGHT - 6.0,
            escape(&self.x)
        );
        for (index, series) in self.series.iter().enumerate() {
            let class = class(index);
            let line: String = series.points.iter().map(|p| format!("{:.1},{:.1} ", x(p.x), y(p.y))).collect();
            let _ = write!(svg, "<g class=\"{class}\"><polyline points=\"{}\"/>", line.trim_end());
            for point in &series.points {
                if let Some([low, high]) = point.interval {
                    let _ = write!(svg, "<path d=\"M{0:.1},{1:.1}V{2:.1}\"/>", x(point.x), y(bound(low)), y(high));
                }
            }
            // A dot on each point of a short line, on the last one of a long one.
            let dots = if series.points.len() > 40 { series.points.len() - 1 } else { 0 };
            for point in &series.points[dots.min(series.points.len())..] {
                let title = format!("{}: {} at {}", series.name, number(point.y), number(point.x));
                let _ = write!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{}</title></circle>",
                    x(point.x),
                    y(point.y),
                    escape(&title)
                );
            }
            svg.push_str("</g>");
        }
        svg.push_str("</svg>");
        let unit = if self.y.is_empty() { String::new() } else { format!("<p class=\"unit\">{}</p>", escape(&self.y)) };
        format!("{unit}{svg}{}", self.legend())
    }

    fn legend(&self) -> String {
        let mut html = "<ul class=\"legend\">".to_owned();
        for (index, series) in self.series.iter().enumerate() {
            let class = class(index);
            let _ = write!(
                html,
                "<li><svg class=\"key\" viewBox=\"0 0 24 8\"><g class=\"{class}\"><polyline points=\"0,4 24,4\"/></g></svg>{}</li>",
                escape(&series.name)
            );
        }
        html + "</ul>"
    }
}

fn class(index: usize) -> String {
    let dashes = ["", " d1", " d2"][index / COLOURS % 3];
    format!("s{}{dashes}", index % COLOURS)
}

/// Round numbers that hold all values.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    fn new(low: f64, high: f64) -> Self {
        let (low, high) =
            if high > low { (low, high) } else { (low - 0.5 * low.abs().max(1e-9), high + 0.5 * high.abs().max(1e-9)) };
        let rough = (high - low) / 4.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough).unwrap_or(rough);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    fn place(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|tick| {
            let value = self.low + tick as f64 * self.step;
            // What is left of 0 by rounding is 0.
            if value.abs() < self.step * 1e-6 { 0.0 } else { value }
        })
    }
}

/// A number in as few characters as tell it from its neighbours.
pub fn number(value: f64) -> String {
    let trimmed = |text: String| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1e6 => format!("{value:.2e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 0.01 => trimmed(format!("{value:.3}")),
        _ => format!("{value:.1e}"),
    }
}

/// Text that means itself between tags and in quoted attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A table; the columns from `numbers` on are set as numbers.
pub fn table(columns: &[String], lines: &[Vec<String>], numbers: usize) -> String {
    let row = |tag: &str, cells: &[String]| -> String {
        let cell = |(column, text): (usize, &String)| {
            let class = if column >= numbers { " class=\"n\"" } else { "" };
            format!("<{tag}{class}>{}</{tag}>", escape(text))
        };
        format!("<tr>{}</tr>", cells.iter().enumerate().map(cell).collect::<String>())
    };
    let body: String = lines.iter().map(|line| row("td", line)).collect();
    format!("<div class=\"scroll\"><table>{}{body}</table></div>", row("th", columns))
}

/// A page: `lead` is HTML under the heading, `body` HTML of sections. Sections inside `<div class="grid">` stand side by side
/// where there is room.
pub fn page(title: &str, lead: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\"><title>{title}</title><style>{STYLE}</style>\n<main><h1>{title}</h1>{lead}{body}</main></html>\n"
    )
}

const STYLE: &str = "
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --soft: #5d6268; --line: #e2e3e5; --edge: #d4d6d9;
  --c0: #2f6f9f; --c1: #c4572e; --c2: #3d8440; --c3: #8a5fa8; --c4: #97751c; --c5: #5a6672; }
@media (prefers-color-scheme: dark) { :root { --paper: #151618; --ink: #e8e8e6; --soft: #a3a6ab; --line: #33363a; --edge: #43474c;
  --c0: #6cb2e4; --c1: #f08a5f; --c2: #75c37a; --c3: #c39ae0; --c4: #d8b657; --c5: #a9b4bf; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.2rem; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 1.6rem 0 .5rem; }
h3, section > h2 { font-size: 1rem; margin: .4rem 0 0; } p { margin: .2rem 0 .8rem; } .unit, .soft { color: var(--soft); margin: 0; }
.warn { border-left: 4px solid var(--c1); padding: .2rem .8rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1rem; }
section { border: 1px solid var(--edge); border-radius: 6px; padding: .4rem .8rem; min-width: 0; }
svg { width: 100%; height: auto; display: block; } text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.rule { stroke: var(--line); } polyline { fill: none; stroke-width: 1.8; } path { stroke-width: 1.2; }
.legend { list-style: none; margin: .2rem 0 .4rem; padding: 0; display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .85rem; }
.key { display: inline-block; width: 24px; height: 8px; margin-right: .4rem; vertical-align: middle; }
.s0 { stroke: var(--c0); fill: var(--c0); } .s1 { stroke: var(--c1); fill: var(--c1); } .s2 { stroke: var(--c2); fill: var(--c2); }
.s3 { stroke: var(--c3); fill: var(--c3); } .s4 { stroke: var(--c4); fill: var(--c4); } .s5 { stroke: var(--c5); fill: var(--c5); }
.d1 polyline { stroke-dasharray: 6 3; } .d2 polyline { stroke-dasharray: 2 3; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; }
th, td { text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } .n { text-align: right; font-variant-numeric: tabular-nums; }
@media (max-width: 30rem) { main { padding: .7rem; } text { font-size: 15px; } }
";

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[(f64, f64)]) -> Chart {
        let point = |&(x, y): &(f64, f64)| Point { x, y, interval: Some([y - 1.0, y + 1.0]) };
        let series = vec![Series { name: "a <b>".to_owned(), points: values.iter().map(point).collect() }];
        Chart { x: "batch".to_owned(), y: "ms".to_owned(), across: Across::Steps, from_zero: true, series }
    }

    #[test]
    fn a_chart_has_its_points_intervals_and_names() {
        let html = chart(&[(1.0, 10.0), (8.0, 40.0), (32.0, 100.0)]).html();
        assert_eq!(html.matches("<circle").count(), 3);
        assert_eq!(html.matches("<path").count(), 3);
        assert!(html.contains("a &lt;b&gt;") && html.contains(">32<") && html.contains(">150<"), "{html}");
        assert!(!html.contains("NaN") && !html.contains("inf"));
    }

    #[test]
    fn one_point_and_none_are_charts_too() {
        assert!(!chart(&[(1.0, 10.0)]).html().contains("NaN"));
        assert!(chart(&[]).html().contains("Nothing was measured"));
    }

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        let scale = Scale::new(0.0, 97.0);
        assert_eq!(scale.ticks().collect::<Vec<_>>(), [0.0, 50.0, 100.0]);
        let scale = Scale::new(0.31, 0.78);
        assert!(scale.low <= 0.31 && scale.high >= 0.78);
        assert_eq!(scale.ticks().map(number).collect::<Vec<_>>(), ["0.2", "0.4", "0.6", "0.8"]);
    }

    #[test]
    fn numbers_are_short() {
        let cases = [(0.0, "0"), (1234.5, "1234"), (12.5, "12.5"), (0.125, "0.125"), (1e-4, "1.0e-4"), (3.0, "3")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
