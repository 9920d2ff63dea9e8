//! Measures of classification quality, shared by training, evaluation and calibration.

use std::collections::BTreeMap;

/// Counts of a yes/no decision against the truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Positives found.
    pub true_positives: usize,
    /// Negatives called positive.
    pub false_positives: usize,
    /// Positives missed.
    pub false_negatives: usize,
    /// Negatives found.
    pub true_negatives: usize,
}

impl Confusion {
    /// Counts `scores >= threshold` against `labels`, row by row.
    pub fn count(scores: &[f32], labels: &[bool], threshold: f32) -> Self {
        let mut counts = Self::default();
        scores.iter().zip(labels).for_each(|(&score, &label)| counts.add(score >= threshold, label));
        counts
    }

    /// Counts one decision.
    pub fn add(&mut self, called: bool, label: bool) {
        match (called, label) {
            (true, true) => self.true_positives += 1,
            (true, false) => self.false_positives += 1,
            (false, true) => self.false_negatives += 1,
            (false, false) => self.true_negatives += 1,
        }
    }

    /// Share of right decisions.
    pub fn accuracy(&self) -> f64 {
        ratio(
            self.true_positives + self.true_negatives,
            self.true_positives + self.true_negatives + self.false_positives + self.false_negatives,
        )
    }

    /// Share of the called positives that are positive; 0 where none was called.
    pub fn precision(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Share of the positives that were found; 0 where there is none.
    pub fn recall(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// Harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
    }
}

/// Measures of decisions between classes: a mean over the classes that occur, each against all others.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ByClass {
    /// Share of right decisions.
    pub accuracy: f64,
    /// Mean of the classes' precisions.
    pub precision: f64,
    /// Mean of the classes' recalls.
    pub recall: f64,
    /// Mean of the classes' F1.
    pub f1: f64,
    /// Classes that occur.
    pub classes: usize,
}

impl ByClass {
    /// Counts decisions, each a class and the one it was taken for.
    pub fn count(decisions: &[(usize, usize)]) -> Self {
        let mut classes: BTreeMap<usize, Confusion> = BTreeMap::new();
        for &(class, taken) in decisions {
            let counts = classes.entry(class).or_default();
            if taken == class { counts.true_positives += 1 } else { counts.false_negatives += 1 }
        }
        for (class, taken) in decisions {
            if let Some(counts) = classes.get_mut(taken).filter(|_| taken != class) {
                counts.false_positives += 1;
            }
        }
        let right = decisions.iter().filter(|(class, taken)| class == taken).count();
        let mean =
            |measure: fn(&Confusion) -> f64| classes.values().map(measure).sum::<f64>() / classes.len().max(1) as f64;
        Self {
            accuracy: ratio(right, decisions.len()),
            precision: mean(Confusion::precision),
            recall: mean(Confusion::recall),
            f1: mean(Confusion::f1),
            classes: classes.len(),
        }
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The threshold with the highest F1, halfway between two scores that occur; of several the highest. `None` where there is no positive or no
/// negative, or a score is not a number.
pub fn best_threshold(scores: &[f32], labels: &[bool]) -> Option<f32> {
    let positives = labels.iter().filter(|&&label| label).count();
    if positives == 0 || positives == labels.len() || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut counts = Confusion { false_negatives: positives, ..Confusion::default() };
    let (mut best, mut threshold) = (0.0, None);
    for (place, &row) in order.iter().enumerate() {
        if labels[row] {
            counts.true_positives += 1;
            counts.false_negatives -= 1;
        } else {
            counts.false_positives += 1;
        }
        let below = order.get(place + 1).map(|&next| scores[next]);
        if below != Some(scores[row]) && counts.f1() > best {
            best = counts.f1();
            threshold = Some(below.map_or(scores[row], |below| below + (scores[row] - below) / 2.0));
        }
    }
    threshold
}

/// Area under the ROC curve: the probability that a random positive scores above a random negative, ties counting half.
///
/// `None` where there is no positive or no negative, or a score is not a number.
pub fn roc_auc(scores: &[f32], labels: &[bool]) -> Option<f64> {
    let positives = labels.iter().filter(|&&label| label).count();
    let negatives = labels.len() - positives;
    if positives == 0 || negatives == 0 || scores.len() != labels.len() || scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut rank_sum = 0.0;
    let mut start = 0;
    while start < order.len() {
        let mut end = start;
        while end < order.len() && scores[order[end]] == scores[order[start]] {
            end += 1;
        }
        let mean_rank = (start + end + 1) as f64 / 2.0;
        let tied_positives = order[start..end].iter().filter(|&&i| labels[i]).count();
        rank_sum += mean_rank * tied_positives as f64;
        start = end;
    }
    let (positives, negatives) = (positives as f64, negatives as f64);
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Mean over groups (tags) of each group's own ROC-AUC, over groups with at least `min_rows` rows of both labels
/// together, and the number of groups that counted. Frequency of a tag alone cannot raise it.
pub fn grouped_roc_auc<G: Ord + Clone>(
    groups: &[G],
    scores: &[f32],
    labels: &[bool],
    min_rows: usize,
) -> Option<(f64, usize)> {
    let mut by_group: BTreeMap<G, (Vec<f32>, Vec<bool>)> = BTreeMap::new();
    for ((group, &score), &label) in groups.iter().zip(scores).zip(labels) {
        let rows = by_group.entry(group.clone()).or_default();
        rows.0.push(score);
        rows.1.push(label);
    }
    let areas: Vec<f64> = by_group
        .values()
        .filter(|(scores, _)| scores.len() >= min_rows)
        .filter_map(|(scores, labels)| roc_auc(scores, labels))
        .collect();
    if areas.is_empty() { None } else { Some((areas.iter().sum::<f64>() / areas.len() as f64, areas.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_measured_each_against_the_others() {
        // Of class 0 two of three are found, of class 2 one of two; class 1 does not occur, and is taken for once.
        let found = ByClass::count(&[(0, 0), (0, 0), (0, 2), (2, 2), (2, 1)]);
        assert_eq!(found.classes, 2);
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        near(found.accuracy, 3.0 / 5.0);
        near(found.precision, (1.0 + 0.5) / 2.0);
        near(found.recall, (2.0 / 3.0 + 0.5) / 2.0);
        near(found.f1, (0.8 + 0.5) / 2.0);
        assert_eq!(ByClass::count(&[]), ByClass::default());
    }

    #[test]
    fn roc_auc_counts_ties_half() {
        let labels = [true, false, true, false];
        assert_eq!(roc_auc(&[0.9, 0.1, 0.8, 0.2], &labels), Some(1.0));
        assert_eq!(roc_auc(&[0.1, 0.9, 0.2, 0.8], &labels), Some(0.0));
        assert_eq!(roc_auc(&[0.5; 4], &labels), Some(0.5));
        assert_eq!(roc_auc(&[0.9, 0.5, 0.5, 0.1], &labels), Some(0.875));
        assert_eq!(roc_auc(&[0.9, 0.5], &[true, true]), None);
    }

    #[test]
    fn grouped_roc_auc_ignores_frequency() {
        let groups = ["a", "a", "a", "a", "b", "b", "b", "b"];
        let labels = [true, true, true, false, true, false, false, false];
        let by_frequency = [0.8, 0.8, 0.8, 0.8, 0.2, 0.2, 0.2, 0.2];
        assert_eq!(roc_auc(&by_frequency, &labels), Some(0.75));
        assert_eq!(grouped_roc_auc(&groups, &by_frequency, &labels, 4), Some((0.5, 2)));
        assert_eq!(grouped_roc_auc(&groups, &by_frequency, &labels, 5), None);
    }

    #[test]
    fn the_best_threshold_lies_between_scores() {
        let labels = [true, false, true, false];
        assert_eq!(best_threshold(&[0.9, 0.25, 0.75, 0.5], &labels), Some(0.625));
        assert_eq!(best_threshold(&[0.5, 0.5, 0.5, 0.5], &labels), Some(0.5), "equal scores are called together");
        assert_eq!(best_threshold(&[0.25, 0.9, 0.75, 0.125], &labels), Some(0.1875), "all but the last");
        assert_eq!(best_threshold(&[0.9, 0.8], &[true, true]), None);
        assert_eq!(best_threshold(&[0.9, f32::NAN], &[true, false]), None);
    }

    #[test]
    fn precision_recall_and_f1() {
        let counts = Confusion::count(&[0.9, 0.6, 0.4, 0.1], &[true, false, true, false], 0.5);
        assert_eq!((counts.accuracy(), counts.precision(), counts.recall(), counts.f1()), (0.5, 0.5, 0.5, 0.5));
        assert_eq!(Confusion::count(&[0.1], &[false], 0.5).precision(), 0.0);
    }
}
