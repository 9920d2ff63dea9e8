//! Dots with intervals: values on the left, differences on the right.

use std::fmt::Write as _;

use super::statistics::Spread;

const WIDTH: f64 = 860.0;
/// Height of a line, and of the axes above and below them.
const LINE: f64 = 26.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 24.0;
/// Where the panels begin and end.
const VALUES: [f64; 2] = [330.0, 570.0];
const DIFFERENCES: [f64; 2] = [622.0, 838.0];
const COLOURS: [&str; 2] = ["#2f6f9f", "#c4572e"];

/// A mean with its interval, in percent.
pub(super) struct Dot {
    mean: f64,
    interval: Option<[f64; 2]>,
}

impl Dot {
    pub(super) fn of(spread: &Spread) -> Self {
        Self { mean: 100.0 * spread.mean, interval: spread.interval.map(|ends| ends.map(|end| 100.0 * end)) }
    }
}

/// A line of a plot.
pub(super) struct Line {
    pub(super) name: String,
    /// What stands below it in small.
    pub(super) note: Option<String>,
    /// One a seed, as shares.
    pub(super) values: Vec<f64>,
    pub(super) mean: Option<Dot>,
    pub(super) difference: Option<Dot>,
}

/// From values to places.
struct Scale {
    low: f64,
    high: f64,
    ends: [f64; 2],
}

impl Scale {
    /// Holds all means and seeds. An interval of two seeds may be a hundred times as wide as they are apart: it is cut off
    /// where it would leave no room for the dots.
    fn new(dots: &[&Dot], values: &[f64], ends: [f64; 2]) -> Self {
        let inner = || dots.iter().map(|dot| dot.mean).chain(values.iter().copied());
        let bounds = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
        };
        let (low, high) = bounds(&mut inner());
        let room = 2.0 * (high - low).max(0.5);
        let intervals = dots.iter().filter_map(|dot| dot.interval).flatten();
        let (least, most) = bounds(&mut intervals.chain(inner()));
        let (low, high) = (least.max(low - room), most.min(high + room));
        let margin = 0.06 * (high - low).max(0.1);
        Self { low: low - margin, high: high + margin, ends }
    }

    fn x(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.ends[0] + share * (self.ends[1] - self.ends[0])
    }

    /// Round numbers, about five.
    fn ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|&step| step * power >= rough).unwrap_or(10.0);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last).map(|tick| tick as f64 * step).collect()
    }
}

/// Lines as a picture.
pub(super) fn rows(lines: &[Line]) -> String {
    let height = TOP + LINE * lines.len() as f64 + BOTTOM;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    let seeds: Vec<f64> = lines.iter().flat_map(|line| &line.values).map(|value| 100.0 * value).collect();
    let means: Vec<&Dot> = lines.iter().filter_map(|line| line.mean.as_ref()).collect();
    let differences: Vec<&Dot> = lines.iter().filter_map(|line| line.difference.as_ref()).collect();
    let values = Scale::new(&means, &seeds, VALUES);
    axis(&mut svg, &values, height, "percent");
    let change = (!differences.is_empty()).then(|| Scale::new(&differences, &[0.0], DIFFERENCES));
    if let Some(change) = &change {
        axis(&mut svg, change, height, "difference");
        let x = change.x(0.0);
        let _ =
            write!(svg, "<line class=\"zero\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\"/>", height - BOTTOM);
    }
    for (index, line) in lines.iter().enumerate() {
        let y = TOP + LINE * (index as f64 + 0.5);
        let below = if line.note.is_some() { -1.0 } else { 4.0 };
        let _ = write!(svg, "<text x=\"0\" y=\"{:.1}\">{}</text>", y + below, escape(&line.name));
        if let Some(note) = &line.note {
            let _ = write!(svg, "<text class=\"note\" x=\"8\" y=\"{:.1}\">{}</text>", y + 10.0, escape(note));
        }
        for value in &line.values {
            let x = values.x(100.0 * value);
            let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.2\" fill=\"#999\" fill-opacity=\".7\"/>");
        }
        if let Some(mean) = &line.mean {
            dot(&mut svg, &values, mean, y, COLOURS[0]);
        }
        if let (Some(scale), Some(difference)) = (&change, &line.difference) {
            dot(&mut svg, scale, difference, y, COLOURS[1]);
        }
    }
    svg + "</svg>"
}

fn axis(svg: &mut String, scale: &Scale, height: f64, title: &str) {
    for tick in scale.ticks() {
        let x = scale.x(tick);
        let digits = if scale.high - scale.low < 2.0 { 2 } else { 1 };
        let _ = write!(
            svg,
            "<line class=\"rule\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick:.digits$}</text>",
            height - BOTTOM,
            height - 8.0
        );
    }
    let middle = 0.5 * (scale.ends[0] + scale.ends[1]);
    let _ = write!(svg, "<text x=\"{middle}\" y=\"13\" text-anchor=\"middle\">{title}</text>");
}

fn dot(svg: &mut String, scale: &Scale, dot: &Dot, y: f64, colour: &str) {
    if let Some([low, high]) = dot.interval {
        let (low, high) = (scale.x(low), scale.x(high));
        let _ = write!(
            svg,
            "<line x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"1.6\"/>"
        );
    }
    let _ = write!(svg, "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>", scale.x(dot.mean));
}

/// Text within a page.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_interval_leaves_room_for_the_dots() {
        let dots = [(80.0, Some([70.0, 90.0])), (80.5, Some([20.0, 141.0]))];
        let dots = dots.map(|(mean, interval)| Dot { mean, interval });
        let scale = Scale::new(&dots.iter().collect::<Vec<_>>(), &[79.9, 80.6], VALUES);
        assert!(scale.low > 78.0 && scale.high < 83.0, "{} to {}", scale.low, scale.high);
        assert!(scale.ticks().len() >= 3 && scale.x(141.0) <= VALUES[1]);
    }

    #[test]
    fn names_are_escaped_and_nothing_is_drawn_of_nothing() {
        let line =
            |mean| Line { name: "w/o <CNN> & more".into(), note: None, values: Vec::new(), mean, difference: None };
        let drawn = rows(&[line(Some(Dot { mean: 50.0, interval: None }))]);
        assert!(drawn.contains("w/o &lt;CNN&gt; &amp; more") && drawn.matches("<circle").count() == 1);
        assert!(!drawn.contains("NaN") && !drawn.contains("difference"));
    }
}
