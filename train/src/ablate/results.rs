//! What the finished runs of a plan say: the content of `results.json`, and what the table and the plots are made of.

use std::collections::BTreeMap;
use std::time::SystemTime;

use mbsd_spec::{Architecture, Task, Variant};
use serde::Serialize;

use super::file::{Stage, UniModal};
use super::plan::Plan;
use super::statistics::Spread;
use crate::TrainError;
use crate::evaluate::Metrics;

/// Raised when a field of `results.json` changes its meaning.
const SCHEMA: u32 = 1;

/// A number by which rows are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Area under the ROC curve of all rows (match, alignment).
    RocAuc,
    /// Mean over tags of each tag's own area (match).
    TagRocAuc,
    /// Share of right decisions.
    Accuracy,
    /// Share of right ones among the rows said to be 1 (match, alignment).
    Precision,
    /// Share of those said to be 1 among the rows that are (match, alignment).
    Recall,
    /// Harmonic mean of the two (match, alignment).
    F1,
}

/// What the paper's Tables 1, 4 and 5 have of a model.
pub(super) const OF_MODELS: [Measure; 6] =
    [Measure::Accuracy, Measure::Precision, Measure::Recall, Measure::F1, Measure::RocAuc, Measure::TagRocAuc];

impl Measure {
    /// What people read.
    pub fn title(self) -> &'static str {
        match self {
            Self::RocAuc => "ROC-AUC",
            Self::TagRocAuc => "Mean of the tags' ROC-AUC",
            Self::Accuracy => "Accuracy",
            Self::Precision => "Precision",
            Self::Recall => "Recall",
            Self::F1 => "F1",
        }
    }

    /// Its value, where there is one.
    pub fn of(self, metrics: &Metrics) -> Option<f64> {
        match self {
            Self::RocAuc => metrics.roc_auc,
            Self::TagRocAuc => metrics.tag_roc_auc,
            Self::Accuracy => Some(metrics.accuracy),
            Self::Precision => metrics.precision,
            Self::Recall => metrics.recall,
            Self::F1 => metrics.f1,
        }
    }
}

/// One row with one seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellResult {
    /// The seed.
    pub seed: u64,
    /// Folders of its runs in `runs`, by stage; the last is the fine-tuned model's.
    pub runs: Vec<String>,
    /// Measures of its validation rows after the last epoch, by variant; empty until it is finished.
    pub validation: BTreeMap<Variant, Metrics>,
    /// Why it could not be finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// One measure of one variant over a row's seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The variant.
    pub variant: Variant,
    /// The measure.
    pub measure: Measure,
    /// Over the finished seeds.
    pub value: Spread,
    /// Less that of the row it is compared with, over the seeds that both have finished.
    pub difference: Option<Spread>,
}

/// One row over its seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowResult {
    /// Its name.
    pub name: String,
    /// What the paper has for it.
    pub paper: Option<String>,
    /// The row that it is compared with, where that is not the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// Which network it fine-tunes.
    pub architecture: Architecture,
    /// Set for the rows of Figure 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uni_modal: Option<UniModal>,
    /// Its seeds.
    pub cells: Vec<CellResult>,
    /// Its measures.
    pub summary: Vec<Summary>,
}

/// A bar pair of Figure 7: one modality, fine-tuned alone, after stage 2 with and without SDMI.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distilled {
    /// The modality.
    pub modality: Variant,
    /// The measure.
    pub measure: Measure,
    /// Name of the row with SDMI, and of the one without.
    pub rows: [String; 2],
    /// With SDMI.
    pub with: Option<Spread>,
    /// Without.
    pub without: Option<Spread>,
    /// With less without, over the seeds that both have finished.
    pub difference: Option<Spread>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Results {
    /// Version of this form.
    pub schema: u32,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Measures that the task has.
    pub measures: Vec<Measure>,
    /// The rows, in the file's order.
    pub rows: Vec<RowResult>,
    /// Figure 7.
    pub uni_modal: Vec<Distilled>,
}

impl Results {
    /// Reads the states of the plan's runs.
    ///
    /// # Errors
    /// [`TrainError::Io`] and [`TrainError::Resume`].
    pub fn collect(plan: &Plan) -> Result<Self, TrainError> {
        let mut rows: Vec<RowResult> = plan
            .ablation
            .rows
            .iter()
            .map(|row| RowResult {
                name: row.name.clone(),
                paper: row.paper.clone(),
                against: row.against.clone(),
                stages: row.stages.clone(),
                architecture: Architecture::default(),
                uni_modal: row.uni_modal,
                cells: Vec::new(),
                summary: Vec::new(),
            })
            .collect();
        let mut task = Task::Match;
        for cell in &plan.cells {
            let runs: Vec<_> = cell.runs.iter().map(|&run| &plan.runs[run]).collect();
            let mut validation = BTreeMap::new();
            if let Some(run) = runs.last() {
                task = run.run.objective.task();
                rows[cell.row].architecture = run.architecture();
                validation = run.finished()?.map(|state| state.validation).unwrap_or_default();
            }
            let mut failures = Vec::new();
            for run in &runs {
                let unfinished = run.finished()?.is_none();
                failures.extend(run.diverged(SystemTime::UNIX_EPOCH)?.filter(|_| unfinished));
            }
            rows[cell.row].cells.push(CellResult {
                seed: cell.seed,
                runs: runs.iter().map(|run| run.name.clone()).collect(),
                validation,
                failure: failures.into_iter().next(),
            });
        }
        let measures = match task {
            Task::Match => vec![Measure::RocAuc, Measure::TagRocAuc],
            Task::Alignment => vec![Measure::RocAuc],
            Task::Classification => vec![Measure::Accuracy],
        };
        for index in 0..rows.len() {
            let named = |name: &String| rows.iter().find(|row| row.name == *name);
            let base = rows[index].against.as_ref().and_then(named).unwrap_or(&rows[0]);
            let summary = measures.iter().flat_map(|&measure| summaries(base, &rows[index], measure)).collect();
            rows[index].summary = summary;
        }
        let uni_modal = measures.iter().flat_map(|&measure| distilled(&rows, measure)).collect();
        let mut results = Self { schema: SCHEMA, seeds: plan.ablation.seeds.clone(), measures, rows, uni_modal };
        // Tags with too few validation rows have no area of their own.
        results.measures.retain(|&measure| {
            measure != Measure::TagRocAuc
                || results.rows.iter().any(|row| row.summary.iter().any(|summary| summary.measure == measure))
        });
        results.uni_modal.retain(|pair| results.measures.contains(&pair.measure));
        Ok(results)
    }

    /// Rows with one seed that are finished, and all of them.
    pub fn progress(&self) -> (usize, usize) {
        let cells = || self.rows.iter().flat_map(|row| &row.cells);
        (cells().filter(|cell| !cell.validation.is_empty()).count(), cells().count())
    }
}

impl RowResult {
    /// A measure of each seed, in the order of the seeds.
    pub fn values(&self, variant: Variant, measure: Measure) -> Vec<Option<f64>> {
        self.cells.iter().map(|cell| measure.of(cell.validation.get(&variant)?)).collect()
    }

    /// A measure over the seeds.
    pub fn summary(&self, variant: Variant, measure: Measure) -> Option<&Summary> {
        self.summary.iter().find(|summary| summary.variant == variant && summary.measure == measure)
    }

    /// A measure over the seeds, with all that the row's network reads.
    pub(super) fn whole(&self, measure: Measure) -> Option<Spread> {
        self.spread(self.architecture.variants()[0], measure)
    }

    fn spread(&self, variant: Variant, measure: Measure) -> Option<Spread> {
        let values: Vec<f64> = self.values(variant, measure).into_iter().flatten().collect();
        Spread::of(&values)
    }
}

/// A row's measures. A model fine-tuned with one modality is measured with that; it is compared in [`distilled`].
fn summaries(base: &RowResult, row: &RowResult, measure: Measure) -> Vec<Summary> {
    let variants = Variant::ENCODERS.into_iter();
    let measured = variants.filter(|&variant| row.uni_modal.is_none_or(|uni_modal| uni_modal.modality == variant));
    let summary = |variant| {
        let value = row.spread(variant, measure)?;
        let differs = row.uni_modal.is_none() && row.name != base.name;
        let differences = || Spread::of_differences(&row.values(variant, measure), &base.values(variant, measure));
        Some(Summary { variant, measure, value, difference: if differs { differences() } else { None } })
    };
    measured.filter_map(summary).collect()
}

/// The modalities for which there is a row with SDMI and one without.
fn distilled(rows: &[RowResult], measure: Measure) -> Vec<Distilled> {
    let pair = |modality| {
        let find = |sdmi| rows.iter().find(|row| row.uni_modal == Some(UniModal { modality, sdmi }));
        let (with, without) = (find(true)?, find(false)?);
        let values = |row: &RowResult| row.values(modality, measure);
        Some(Distilled {
            modality,
            measure,
            rows: [with.name.clone(), without.name.clone()],
            with: with.spread(modality, measure),
            without: without.spread(modality, measure),
            difference: Spread::of_differences(&values(with), &values(without)),
        })
    };
    [Variant::Text, Variant::Image].into_iter().filter_map(pair).collect()
}
