//! The rows that graphs are compared on, and those that ranges are observed on: never the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use mbsd_data::{DuplicateIds, Keep, Product, ProductOptions};
use mbsd_runtime::engine::SessionOptions;
use mbsd_runtime::job::{self, AnswerOptions, EvalOptions, Evaluation, JobError, Model, Summary, Workers};
use mbsd_spec::{Task, Variant};

use crate::error::CalibError;
use crate::progress::Progress;

/// A file of products.
#[derive(Debug, Clone)]
pub struct Products {
    /// The file: .parquet, .jsonl, .csv or .tsv.
    pub file: PathBuf,
    /// Which columns it has, and where its images are.
    pub options: ProductOptions,
    /// Column with the tag; match only.
    pub tag_column: String,
}

/// Labelled products, or for alignment products and labelled pairs of them.
#[derive(Debug, Clone)]
pub struct LabelledData {
    /// The products.
    pub products: Products,
    /// Column with the truth.
    pub label_column: String,
    /// The pairs; alignment only.
    pub pairs: Option<PathBuf>,
    /// So many rows of it, of every label and tag its share; all where `None`.
    pub samples: Option<usize>,
}

/// The rows that static ranges are observed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeData {
    /// So many of the labelled rows, of every label and tag its share and at most half. Graphs are then compared on the others,
    /// without the further rows of a product whose ranges were observed.
    HeldOut(usize),
    /// Other products, in a file with the same columns. Labels are not looked at.
    File(PathBuf),
}

impl Products {
    fn open(&self, keep: Vec<String>, duplicate_ids: DuplicateIds) -> Result<mbsd_data::Products, CalibError> {
        let options = ProductOptions { keep: Keep::Named(keep), duplicate_ids, ..self.options.clone() };
        Ok(mbsd_data::Products::open(&self.file, &options).map_err(JobError::from)?)
    }
}

/// The columns of [`LabelledData`] that a task is told by.
fn told_by(data: &LabelledData, task: Task) -> Vec<String> {
    match task {
        Task::Match => vec![data.label_column.clone(), data.products.tag_column.clone()],
        Task::Classification => vec![data.label_column.clone()],
        Task::Alignment => Vec::new(),
    }
}

/// The rows that graphs are compared on.
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

/// The rows that ranges are observed on.
#[derive(Debug, Clone)]
pub(crate) struct RangeRows {
    products: Products,
    task: Task,
    /// Numbers of the chosen rows; all where `None`.
    chosen: Option<BTreeSet<u64>>,
}

impl<'a> Rows<'a> {
    /// Opens the data once, to find what is wrong with it before anything is computed, and chooses rows: those to compare on,
    /// and where there are ranges to be observed, those for them.
    pub(crate) fn new(
        data: &'a LabelledData,
        ranges: Option<&RangeData>,
        task: Task,
    ) -> Result<(Self, Option<RangeRows>), CalibError> {
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
        if task == Task::Alignment && matches!(ranges, Some(RangeData::HeldOut(_))) {
            return setting("products of pairs cannot be held out: give others to take ranges from, as --range-data");
        }
        let mut rows = Self { data, task, chosen: None };
        let products = rows.open()?;
        let wanted = match ranges {
            Some(RangeData::HeldOut(wanted)) => Some(*wanted),
            Some(RangeData::File(_)) | None => None,
        };
        let mut held_out = None;
        if wanted.is_some() || data.samples.is_some() {
            let mut strata = Strata::new(products);
            held_out = wanted.map(|wanted| strata.hold_out(wanted));
            rows.chosen = Some(strata.choose(data.samples));
        }
        let range_rows = match (ranges, held_out) {
            (Some(RangeData::File(file)), _) => {
                Some(RangeRows::new(&Products { file: file.clone(), ..data.products.clone() }, task, None)?)
            }
            (_, Some(chosen)) if chosen.is_empty() => {
                let file = data.products.file.display();
                return Err(CalibError::NoRows(format!(
                    "{file} has too few to hold some out for ranges; give more, or other products as --range-data"
                )));
            }
            (_, chosen) => {
                chosen.map(|chosen| RangeRows { products: data.products.clone(), task, chosen: Some(chosen) })
            }
        };
        Ok((rows, range_rows))
    }

    fn open(&self) -> Result<mbsd_data::Products, CalibError> {
        let duplicate_ids = match self.task {
            Task::Match | Task::Classification => DuplicateIds::Allow,
            Task::Alignment => DuplicateIds::Refuse,
        };
        self.data.products.open(told_by(self.data, self.task), duplicate_ids)
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
            tag_column: &self.data.products.tag_column,
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
                job::eval_each(model, &columns, only(products, self.chosen.as_ref()), &options, each)?
            }
        };
        progress.finish();
        if logits.is_empty() {
            return Err(no_rows(&self.data.products, variant, "be measured on", &evaluation.summary));
        }
        Ok(Measured { evaluation, logits })
    }
}

impl RangeRows {
    /// The rows of a file, all or so many, of every tag its share.
    pub(crate) fn new(products: &Products, task: Task, samples: Option<usize>) -> Result<Self, CalibError> {
        let mut rows = Self { products: products.clone(), task, chosen: None };
        let opened = rows.open()?;
        if samples.is_some() {
            rows.chosen = Some(Strata::new(opened).choose(samples));
        }
        Ok(rows)
    }

    fn open(&self) -> Result<mbsd_data::Products, CalibError> {
        let keep = if self.task == Task::Match { vec![self.products.tag_column.clone()] } else { Vec::new() };
        self.products.open(keep, DuplicateIds::Allow)
    }

    /// Sends the rows through the given variant and returns how many it answered.
    pub(crate) fn answer(
        &self,
        model: &Model,
        variant: Variant,
        workers: Workers,
        what: &str,
    ) -> Result<u64, CalibError> {
        let products = self.open()?;
        let total = self.chosen.as_ref().map(|chosen| chosen.len() as u64).or(products.row_count());
        let progress = Progress::new(what, total);
        let session = SessionOptions::default();
        let options = AnswerOptions {
            tag_column: &self.products.tag_column,
            variant: Some(variant),
            session: &session,
            workers,
            progress: &|done| progress.set(done),
        };
        let columns = products.columns().clone();
        let summary = job::answer_each(model, &columns, only(products, self.chosen.as_ref()), &options)?;
        progress.finish();
        // Rows whose answer is no number have run; what their activations held is for the histograms to say.
        if summary.scored == 0 && !summary.errors.contains_key("not_finite") {
            return Err(no_rows(&self.products, variant, "be observed on", &summary));
        }
        Ok(summary.scored)
    }
}

/// The products with the given row numbers; all where `None`.
fn only<'a>(
    products: mbsd_data::Products,
    chosen: Option<&'a BTreeSet<u64>>,
) -> impl Iterator<Item = Result<Product, mbsd_data::BadRow>> + Send + 'a {
    products.filter(move |row| {
        let number = row.as_ref().map_or_else(|bad| bad.row, |product| product.row);
        chosen.is_none_or(|chosen| chosen.contains(&number))
    })
}

fn no_rows(products: &Products, variant: Variant, purpose: &str, summary: &Summary) -> CalibError {
    let why = match summary.errors.iter().max_by_key(|(_, count)| **count) {
        Some((code, count)) => format!(": {count} x {code}"),
        None => String::new(),
    };
    let file = products.file.display();
    CalibError::NoRows(format!(
        "{file} has none that the {variant} graph can {purpose}{why}; give other data, or fewer --variants"
    ))
}

/// Rows by what they are told by: label and tag.
struct Strata(BTreeMap<String, Vec<(u64, String)>>);

impl Strata {
    /// Rows that cannot be read are in none.
    fn new(products: mbsd_data::Products) -> Self {
        let mut strata: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
        for product in products.flatten() {
            let stratum: Vec<String> = product.columns.iter().map(ToString::to_string).collect();
            strata.entry(stratum.join("\t")).or_default().push((product.row, product.id));
        }
        Self(strata)
    }

    fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Takes `wanted` rows out, of every stratum its share and at most half, and with them all rows of their products.
    fn hold_out(&mut self, wanted: usize) -> BTreeSet<u64> {
        let total = self.len().max(1);
        let (mut chosen, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for rows in self.0.values() {
            let share = (rows.len() * wanted).div_ceil(total).min(rows.len() / 2);
            for (row, id) in spread(rows, share) {
                chosen.insert(*row);
                ids.insert(id.clone());
            }
        }
        for rows in self.0.values_mut() {
            rows.retain(|(_, id)| !ids.contains(id));
        }
        chosen
    }

    /// `samples` of the rows, of every stratum its share and at least one; all where `None`.
    fn choose(&self, samples: Option<usize>) -> BTreeSet<u64> {
        let total = self.len().max(1);
        let of_stratum = |rows: &'_ Vec<(u64, String)>| -> Vec<u64> {
            let share = samples.map_or(rows.len(), |samples| (rows.len() * samples).div_ceil(total).min(rows.len()));
            spread(rows, share).map(|(row, _)| *row).collect()
        };
        self.0.values().flat_map(of_stratum).collect()
    }
}

/// `count` of the items, evenly spread over them.
fn spread<T>(items: &[T], count: usize) -> impl Iterator<Item = &T> {
    (0..count).map(move |i| &items[i * items.len() / count])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strata(parts: &[(&str, std::ops::Range<u64>)], id: impl Fn(u64) -> u64) -> Strata {
        let rows = |range: &std::ops::Range<u64>| range.clone().map(|row| (row, id(row).to_string())).collect();
        Strata(parts.iter().map(|(name, range)| ((*name).to_owned(), rows(range))).collect())
    }

    const PARTS: [(&str, std::ops::Range<u64>); 3] = [("no", 0..80), ("rare", 80..81), ("yes", 81..100)];

    #[test]
    fn every_label_has_its_share() {
        let strata = strata(&PARTS, |row| row);
        let chosen = strata.choose(Some(10));
        let count = |range: std::ops::Range<u64>| chosen.range(range).count();
        assert_eq!((count(0..80), count(80..81), count(81..100)), (8, 1, 2));
        assert_eq!(chosen.iter().take(3).copied().collect::<Vec<_>>(), [0, 10, 20], "spread over the file");
        assert_eq!(strata.choose(Some(1000)).len(), 100);
        assert_eq!(strata.choose(None).len(), 100);
    }

    #[test]
    fn what_is_held_out_is_compared_on_no_more() {
        let mut rows = strata(&PARTS, |row| row);
        let held = rows.hold_out(20);
        let count = |range: std::ops::Range<u64>| held.range(range).count();
        assert_eq!((count(0..80), count(80..81), count(81..100)), (16, 0, 4), "the only one of its kind is not taken");
        let compared = rows.choose(None);
        assert_eq!((compared.len(), compared.intersection(&held).count()), (80, 0));
        assert_eq!(strata(&PARTS, |row| row).hold_out(1000).len(), 49, "at most half of each");

        // Ten rows a product: nothing of a product is on both sides.
        let mut rows = strata(&PARTS, |row| row / 10);
        let held = rows.hold_out(3);
        let products = |rows: &BTreeSet<u64>| rows.iter().map(|row| row / 10).collect::<BTreeSet<_>>();
        let compared = rows.choose(None);
        assert!(!held.is_empty() && !compared.is_empty());
        assert!(products(&held).is_disjoint(&products(&compared)));
    }
}
