//! What changed between two reports, beyond noise.

use std::fmt::Write as _;

use mbsd_spec::statistics::{Mean, t_quantile};
use serde::Serialize;

use super::markdown::figure;
use super::report::{Key, Measurement, Outcome, Report};

/// What became of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The interval of the ratio holds 1.
    Same,
    /// Faster for sure.
    Faster,
    /// Slower for sure, by less than the threshold.
    Slower,
    /// Slower for sure, by more than the threshold; or no longer measured.
    Regression,
    /// One of the reports has a single round: nobody knows how sure it is.
    Unsure,
}

/// A cell of both reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Which cell.
    #[serde(flatten)]
    pub key: Key,
    /// What became of it.
    pub verdict: Verdict,
    /// Median latency before, and now; `None` for a cell that is no longer measured.
    pub p50_ms: (f64, Option<f64>),
    /// Time now through time before, from the rounds' medians.
    pub ratio: Option<f64>,
    /// Its 95% interval.
    pub ratio_interval: Option<[f64; 2]>,
    /// Why a cell is no longer measured.
    pub reason: Option<String>,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Share by which a cell may be slower.
    pub threshold: f64,
    /// Cells that both reports have, or the first had measured.
    pub changes: Vec<Change>,
    /// What makes the comparison doubtful.
    pub warnings: Vec<String>,
}

/// Compares cells of the same settings. Where each report has one subject, its name does not count.
///
/// # Errors
/// In words, if the reports have no cell in common.
pub fn compare(old: &Report, new: &Report, threshold: f64) -> Result<Comparison, String> {
    let one_each = old.subjects.len() == 1 && new.subjects.len() == 1;
    let same = |a: &Key, b: &Key| {
        let mut a = a.clone();
        if one_each {
            a.subject.clone_from(&b.subject);
        }
        a == *b
    };
    let mut changes = Vec::new();
    for (key, before) in old.measured() {
        let Some(cell) = new.cells.iter().find(|cell| same(key, &cell.key)) else { continue };
        changes.push(match &cell.outcome {
            Outcome::Measured(now) => change(key, before, now, threshold),
            Outcome::NotMeasured { reason } => Change {
                key: key.clone(),
                verdict: Verdict::Regression,
                p50_ms: (before.p50_ms, None),
                ratio: None,
                ratio_interval: None,
                reason: Some(reason.clone()),
            },
        });
    }
    if changes.is_empty() {
        return Err("the reports have no cell in common that the first of them measured; measure the same bundles, \
                    engines, sizes and threads"
            .to_owned());
    }
    let mut warnings = Vec::new();
    if (&old.machine.cpu, old.machine.cores) != (&new.machine.cpu, new.machine.cores) {
        warnings.push("the reports are of different machines".to_owned());
    }
    for (name, report) in [("first", old), ("second", new)] {
        if !report.noise.quiet {
            warnings
                .push(format!("the machine was not quiet for the {name} report: {}", report.noise.reasons.join("; ")));
        }
    }
    Ok(Comparison { threshold, changes, warnings })
}

fn change(key: &Key, before: &Measurement, now: &Measurement, threshold: f64) -> Change {
    let logarithms = |m: &Measurement| Mean::of(&m.round_p50_ms.iter().map(|ms| ms.ln()).collect::<Vec<_>>());
    let both = logarithms(before).zip(logarithms(now));
    let difference = both.map(|(before, now)| now.mean - before.mean);
    let half = both.and_then(|(old, new)| welch(old, before.round_p50_ms.len(), new, now.round_p50_ms.len()));
    let interval =
        difference.zip(half).map(|(difference, half)| [(difference - half).exp(), (difference + half).exp()]);
    let ratio = difference.map(f64::exp);
    let verdict = match (ratio, interval) {
        (Some(ratio), Some([low, _])) if low > 1.0 && ratio > 1.0 + threshold => Verdict::Regression,
        (_, Some([low, _])) if low > 1.0 => Verdict::Slower,
        (_, Some([_, high])) if high < 1.0 => Verdict::Faster,
        (_, Some(_)) => Verdict::Same,
        _ => Verdict::Unsure,
    };
    Change {
        key: key.clone(),
        verdict,
        p50_ms: (before.p50_ms, Some(now.p50_ms)),
        ratio,
        ratio_interval: interval,
        reason: None,
    }
}

/// Half the width of the 95% interval of a difference of means with deviations of their own (Welch's t).
fn welch(a: Mean, count_a: usize, b: Mean, count_b: usize) -> Option<f64> {
    let part = |mean: Mean, count: usize| Some((mean.deviation?.powi(2) / count as f64, (count - 1) as f64));
    let ((a, free_a), (b, free_b)) = (part(a, count_a)?, part(b, count_b)?);
    if a + b == 0.0 {
        return Some(0.0);
    }
    let freedom = (a + b).powi(2) / (a * a / free_a + b * b / free_b);
    Some(t_quantile(freedom) * (a + b).sqrt())
}

impl Comparison {
    /// Whether a cell is slower by more than the threshold, or no longer measured.
    pub fn regressed(&self) -> bool {
        self.changes.iter().any(|change| change.verdict == Verdict::Regression)
    }

    /// The comparison as Markdown: what changed, and how many did not.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for warning in &self.warnings {
            let _ = writeln!(text, "note: {warning}");
        }
        let changed: Vec<&Change> = self.changes.iter().filter(|change| change.verdict != Verdict::Same).collect();
        if !changed.is_empty() {
            let _ = writeln!(text, "| cell | before ms | now ms | ratio (95%) | |\n|---|---:|---:|---:|---|");
        }
        for change in &changed {
            let (before, now) = change.p50_ms;
            let ratio = match (change.ratio, change.ratio_interval) {
                (Some(ratio), Some([low, high])) => format!("{ratio:.3} ({low:.3} to {high:.3})"),
                (Some(ratio), None) => format!("{ratio:.3}"),
                _ => "-".to_owned(),
            };
            let said = match change.verdict {
                Verdict::Same => "",
                Verdict::Faster => "faster",
                Verdict::Slower => "slower",
                Verdict::Regression => "**REGRESSION**",
                Verdict::Unsure => "unsure: measured in a single round",
            };
            let why = change.reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
            let now = now.map_or_else(|| "-".to_owned(), figure);
            let _ =
                writeln!(text, "| {} | {} | {now} | {ratio} | {said}{why} |", change.key.describe(), figure(before));
        }
        let count = |verdict| self.changes.iter().filter(|change| change.verdict == verdict).count();
        let _ = writeln!(
            text,
            "{} cells: {} the same within noise, {} faster, {} slower, {} slower by more than {:.0}% or no longer measured{}",
            self.changes.len(),
            count(Verdict::Same),
            count(Verdict::Faster),
            count(Verdict::Slower),
            count(Verdict::Regression),
            100.0 * self.threshold,
            match count(Verdict::Unsure) {
                0 => String::new(),
                unsure => format!(", {unsure} unsure"),
            }
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use mbsd_spec::Precision;

    use super::*;
    use crate::bench::Cell;
    use crate::bench::testing::{cell, key, report};

    fn verdict(before: &[f64], now: &[f64]) -> (Verdict, Comparison) {
        let of = |medians: &[f64]| report(vec![cell(key("tract", Precision::F32, 1), medians)]);
        let comparison = compare(&of(before), &of(now), 0.05).unwrap();
        (comparison.changes[0].verdict, comparison)
    }

    #[test]
    fn a_verdict_takes_more_than_noise() {
        assert_eq!(verdict(&[10.0, 10.2, 10.1], &[10.1, 10.15, 10.0]).0, Verdict::Same);
        // Far off, but no round is like the other.
        assert_eq!(verdict(&[10.0, 14.0, 18.0], &[13.0, 25.0, 11.0]).0, Verdict::Same);
        assert_eq!(verdict(&[10.0, 10.1, 10.05], &[8.0, 8.1, 8.05]).0, Verdict::Faster);
        // Sure, but within the threshold.
        assert_eq!(verdict(&[10.0, 10.01, 10.02], &[10.2, 10.21, 10.22]).0, Verdict::Slower);
        let (regression, comparison) = verdict(&[10.0, 10.1, 10.05], &[12.0, 12.1, 12.05]);
        assert_eq!(regression, Verdict::Regression);
        assert!(comparison.regressed() && comparison.markdown().contains("**REGRESSION**"));
        let [low, high] = comparison.changes[0].ratio_interval.unwrap();
        assert!(low < 1.194 && high > 1.194 && high - low < 0.05, "{low} to {high}");
        assert_eq!(verdict(&[10.0], &[20.0]).0, Verdict::Unsure);
        assert_eq!(verdict(&[10.0, 10.0], &[10.0, 10.0]).0, Verdict::Same);
    }

    #[test]
    fn a_cell_that_is_no_longer_measured_is_a_regression() {
        let old = report(vec![cell(key("tract", Precision::F32, 1), &[10.0, 10.0])]);
        let outcome = Outcome::NotMeasured { reason: "the process ended".to_owned() };
        let new = report(vec![Cell { key: key("tract", Precision::F32, 1), outcome }]);
        let comparison = compare(&old, &new, 0.05).unwrap();
        assert!(comparison.regressed() && comparison.markdown().contains("the process ended"));
        // What was never measured cannot get worse.
        assert!(compare(&new, &old, 0.05).unwrap_err().contains("no cell in common"));
    }

    #[test]
    fn names_count_only_where_there_are_several_and_other_machines_are_said() {
        let old = report(vec![cell(key("tract", Precision::F32, 1), &[10.0, 10.1])]);
        let mut new = old.clone();
        new.subjects[0].name = "another".to_owned();
        new.cells[0].key.subject = "another".to_owned();
        new.machine.cores = 64;
        let comparison = compare(&old, &new, 0.05).unwrap();
        assert_eq!(comparison.changes[0].verdict, Verdict::Same);
        assert!(comparison.warnings[0].contains("different machines"));
        new.subjects.push(new.subjects[0].clone());
        assert!(compare(&old, &new, 0.05).is_err());
    }
}
