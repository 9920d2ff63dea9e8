//! Which of its tags a product keeps.

use std::collections::BTreeMap;

use mbsd_data::attribute_of;

use super::JobError;
use super::model::Model;

/// Which tags a product keeps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TagOptions {
    /// At most so many, the best.
    pub top: Option<usize>,
    /// At most so many of each attribute that `top_of` does not name.
    pub top_each: Option<usize>,
    /// At most so many of an attribute, by its name.
    pub top_of: BTreeMap<String, usize>,
    /// Those of at least this probability. Without it the bundle's thresholds, but any for attributes that a `top` is for.
    pub threshold: Option<f32>,
    /// The same for an attribute, by its name.
    pub threshold_of: BTreeMap<String, f32>,
}

/// Chooses among scored tags.
pub(super) struct Choice<'a> {
    tags: &'a [String],
    /// Of each tag: its threshold, its attribute's number and how many of that attribute are kept.
    rules: Vec<(f32, usize, usize)>,
    attributes: usize,
    top: usize,
}

impl<'a> Choice<'a> {
    /// # Errors
    /// [`JobError::Setting`] where an option names an attribute that no tag has.
    pub(super) fn new(tags: &'a [String], options: &TagOptions, model: &Model) -> Result<Self, JobError> {
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        for tag in tags {
            let next = numbers.len();
            numbers.entry(attribute_of(tag)).or_insert(next);
        }
        let named = options.top_of.keys().map(|name| ("--top", name));
        for (flag, name) in named.chain(options.threshold_of.keys().map(|name| ("--threshold", name))) {
            if !numbers.contains_key(name.as_str()) {
                let present: Vec<&str> = numbers.keys().copied().filter(|name| !name.is_empty()).collect();
                let message = format!("{flag} {name}=..: no tag has this attribute; there are: {}", present.join(", "));
                return Err(JobError::Setting(message));
            }
        }
        let rule = |tag: &String| {
            let name = attribute_of(tag);
            let any = options.top.is_some() || options.top_each.is_some() || options.top_of.contains_key(name);
            let threshold = options.threshold_of.get(name).copied().or(options.threshold);
            let threshold = threshold.unwrap_or_else(|| if any { 0.0 } else { model.threshold_of(tag) });
            let most = options.top_of.get(name).copied().or(options.top_each).unwrap_or(usize::MAX);
            (threshold, numbers[name], most)
        };
        Ok(Self {
            rules: tags.iter().map(rule).collect(),
            attributes: numbers.len(),
            tags,
            top: options.top.unwrap_or(usize::MAX),
        })
    }

    /// The tags that are kept of those at the given positions, with their scores: best first, equal scores in the order given.
    pub(super) fn keep(&self, scored: impl Iterator<Item = (usize, f32)>) -> Vec<(String, f32)> {
        let mut scored: Vec<(usize, f32)> = scored.filter(|&(tag, score)| score >= self.rules[tag].0).collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut taken = vec![0; self.attributes];
        scored.retain(|&(tag, _)| {
            let (_, attribute, most) = self.rules[tag];
            taken[attribute] += 1;
            taken[attribute] <= most
        });
        scored.truncate(self.top);
        scored.into_iter().map(|(tag, score)| (self.tags[tag].clone(), score)).collect()
    }
}
