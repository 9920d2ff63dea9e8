//! The labelled rows that graphs are compared on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use mbsd_data::{DuplicateIds, Keep, ProductOptions, Products};
use mbsd_runtime::engine::SessionOptions;
use mbsd_runtime::job::{self, EvalOptions, Evaluation, JobError, Model, Workers};
use mbsd_spec::{Task, Variant};

use crate::error::CalibError;
use crate::progress::Progress;

/// Labelled products, or for alignment products and labelled pairs of them.
#[derive(Debug, Clone)]
pub struct LabelledData {
    /// The products: .parquet, .jsonl, .csv or .tsv.
    pub products: PathBuf,
    /// Which columns they have, and where their images are.
    pub options: ProductOptions,
    /// Column with the truth.
    pub label_column: String,
    /// Column with the tag; match only.
    pub tag_column: String,
    /// The pairs; alignment only.
    pub pairs: Option<PathBuf>,
    /// So many rows of it, of every label its share; all where `None`.
    pub samples: Option<usize>,
}

/// The rows of [`LabelledData`] that are used.
pub(crate) struct Rows<'a> {
    data: &'a LabelledData,
    task: Task,
    /// Numbers of the chosen rows; all where `None`.
    chosen: Option<BTreeSet<u64>>,
}

/// What a graph answers for the rows.
pub(crate) struct Measured {
    pub(crate) evaluation: Evaluation,
    /// Logits of each row that was measured: one, or one a class.
    pub(crate) logits: Vec<Vec<f32>>,
}

impl<'a> Rows<'a> {
    /// Opens the data once, to find what is wrong with it before anything is computed, and chooses rows.
    pub(crate) fn new(data: &'a LabelledData, task: Task) -> Result<Self, CalibError> {
        let setting = |message: &str| Err(CalibError::Setting(message.to_owned()));
        match (task, &data.pairs, data.samples) {
            (Task::Alignment, None, _) => {
                return setting(
                    "an alignment bundle is compared on pairs: give a table of them, with a label, as --pairs",
                );
            }
            (Task::Match | Task::Classification, Some(_), _) => return setting("--pairs is for alignment bundles"),
            (Task::Alignment, _, Some(_)) => return setting("--samples does not choose pairs: give fewer of them"),
            _ => {}
        }
        let mut rows = Self { data, task, chosen: None };
        let products = rows.open()?;
        if let Some(samples) = data.samples {
            let label = products.columns().iter().position(|column| column.name == data.label_column);
            let mut strata: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            for product in products.flatten() {
                let value = label.and_then(|label| product.columns.get(label)).map(ToString::to_string);
                strata.entry(value.unwrap_or_default()).or_default().push(product.row);
            }
            rows.chosen = Some(stratified(&strata, samples));
        }
        Ok(rows)
    }

    fn open(&self) -> Result<Products, CalibError> {
        let data = self.data;
        let (keep, duplicate_ids) = match self.task {
            Task::Match => (vec![data.label_column.clone(), data.tag_column.clone()], DuplicateIds::Allow),
            Task::Classification => (vec![data.label_column.clone()], DuplicateIds::Allow),
            Task::Alignment => (Vec::new(), DuplicateIds::Refuse),
        };
        let options = ProductOptions { keep: Keep::Named(keep), duplicate_ids, ..data.options.clone() };
        Ok(Products::open(&data.products, &options).map_err(JobError::from)?)
    }

    /// Measures a model on the rows, each through the given variant.
    pub(crate) fn measure(
        &self,
        model: &Model,
        variant: Variant,
        workers: Workers,
        what: &str,
    ) -> Result<Measured, CalibError> {
        let products = self.open()?;
        let total = self.chosen.as_ref().map(|chosen| chosen.len() as u64).or(products.row_count());
        let progress = Progress::new(what, total);
        let session = SessionOptions::default();
        let report = |done| progress.set(done);
        let options = EvalOptions {
            label_column: &self.data.label_column,
            tag_column: &self.data.tag_column,
            variant: Some(variant),
            session: &session,
            workers,
            progress: &report,
        };
        let mut logits = Vec::new();
        let each = |row: &[f32]| logits.push(row.to_vec());
        let evaluation = match &self.data.pairs {
            Some(pairs) => job::eval_pairs_each(model, products, pairs, &options, each)?,
            None => {
                let columns = products.columns().clone();
                let wanted = products.filter(|row| {
                    let number = row.as_ref().map_or_else(|bad| bad.row, |product| product.row);
                    self.chosen.as_ref().is_none_or(|chosen| chosen.contains(&number))
                });
                job::eval_each(model, &columns, wanted, &options, each)?
            }
        };
        progress.finish();
        if logits.is_empty() {
            let why = match evaluation.summary.errors.iter().max_by_key(|(_, count)| **count) {
                Some((code, count)) => format!(": {count} x {code}"),
                None => String::new(),
            };
            let file = self.data.products.display();
            return Err(CalibError::NoRows(format!(
                "{file} has none that the {variant} graph can be measured on{why}; give other data, or fewer --variants"
            )));
        }
        Ok(Measured { evaluation, logits })
    }
}

/// `samples` rows, of every stratum its share and at least one, evenly spread over it.
fn stratified(strata: &BTreeMap<String, Vec<u64>>, samples: usize) -> BTreeSet<u64> {
    let total: usize = strata.values().map(Vec::len).sum();
    let mut chosen = BTreeSet::new();
    for rows in strata.values() {
        let share = (rows.len() * samples).div_ceil(total.max(1)).clamp(1, rows.len());
        chosen.extend((0..share).map(|i| rows[i * rows.len() / share]));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_has_its_share() {
        let strata = BTreeMap::from([
            ("no".to_owned(), (0..80).collect::<Vec<u64>>()),
            ("rare".to_owned(), vec![80]),
            ("yes".to_owned(), (81..100).collect()),
        ]);
        let chosen = stratified(&strata, 10);
        let count = |range: std::ops::Range<u64>| chosen.range(range).count();
        assert_eq!((count(0..80), count(80..81), count(81..100)), (8, 1, 2));
        assert_eq!(chosen.iter().take(3).copied().collect::<Vec<_>>(), [0, 10, 20], "spread over the file");
        assert_eq!(stratified(&strata, 1000).len(), 100);
    }
}
