//! Pairs of products: every product is encoded once, then the pair head runs over the pairs.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use mbsd_data::{BadRow, Pair, PairOptions, Pairs, Products};
use mbsd_spec::{BatchLimits, NamedTensors, RowError, Task, Tensor, Variant};

use super::JobError;
use super::eval::{EvalOptions, Evaluation, binary};
use super::model::{Model, Sessions};
use super::output::{Field, FieldType, OutputColumn, OutputFile};
use super::pipeline::{self, Plan};
use super::score::split;
use super::summary::Summary;
use super::tasks::{Catalogue, Done, sigmoid};
use crate::engine::{Session, SessionOptions};

/// Pairs the head takes at once.
pub(super) const PAIR_BATCH: usize = 1024;

/// What is asked about pairs.
#[derive(Debug)]
pub struct AlignOptions<'a> {
    /// The file of pairs.
    pub pairs: &'a Path,
    /// How they lie in it.
    pub columns: PairOptions,
    /// Probability from which a pair is the same; the bundle's where `None`.
    pub threshold: Option<f32>,
}

/// Says which pairs are the same. Output columns: `source`, `target`, `score` (sigmoid of the logit), `match`, `error`, a
/// row a pair, in the order of the pairs.
///
/// Only products that occur in a pair are encoded; their pooled vectors are held in memory, 4 bytes times the hidden size
/// each.
///
/// # Errors
/// See [`JobError`].
pub fn align(model: &Model, options: &AlignOptions<'_>, job: Catalogue<'_>) -> Result<Summary, JobError> {
    model.require(Task::Alignment)?;
    let columns = [
        OutputColumn::new("source", FieldType::Text),
        OutputColumn::new("target", FieldType::Text),
        OutputColumn::new("score", FieldType::Score),
        OutputColumn::new("match", FieldType::Bool),
        OutputColumn::new("error", FieldType::Text),
    ];
    let mut output = OutputFile::create(job.output.one_file()?, &columns, &[job.input, options.pairs])?;
    let threshold = options.threshold.unwrap_or(model.threshold);
    let plan = Plan::vectors(job.session, job.workers, None);
    let progress = |rows| (job.progress)(Done { rows, ..Done::default() });
    let run = PairRun { model, plan: &plan, progress: &progress };
    let summary = run.over(options.pairs, &options.columns, job.products, |pair, logit| {
        let (ids, result) = match (&pair, logit) {
            (Ok(pair), Ok(logit)) => {
                let score = sigmoid(*logit);
                (
                    Some((&pair.source, &pair.target)),
                    [Field::Score(score), Field::Bool(score >= threshold), Field::Null],
                )
            }
            (Ok(pair), Err(error)) => (Some((&pair.source, &pair.target)), failed(error)),
            (Err(bad), _) => (None, failed(&bad.error)),
        };
        let mut row = vec![Field::text(ids.map(|ids| ids.0)), Field::text(ids.map(|ids| ids.1))];
        row.extend(result);
        output.write(&row)
    })?;
    output.finish()?;
    Ok(summary)
}

fn failed(error: &RowError) -> [Field; 3] {
    [Field::Null, Field::Null, Field::text(Some(error.to_string()))]
}

/// Measures an alignment model on labelled pairs.
///
/// # Errors
/// See [`JobError`].
pub fn eval_pairs(
    model: &Model,
    products: Products,
    pairs: &Path,
    options: &EvalOptions<'_>,
) -> Result<Evaluation, JobError> {
    eval_pairs_each(model, products, pairs, options, |_| ())
}

/// As [`eval_pairs`], and hands the logit of every pair that was measured to `each`, in the order of the pairs.
///
/// # Errors
/// See [`JobError`].
pub fn eval_pairs_each(
    model: &Model,
    products: Products,
    pairs: &Path,
    options: &EvalOptions<'_>,
    mut each: impl FnMut(&[f32]),
) -> Result<Evaluation, JobError> {
    let (summary, logits, labels) = labelled_pairs(model, products, pairs, options, &mut each)?;
    let thresholds = vec![model.threshold; logits.len()];
    Ok(binary(model, options.variant, summary, &logits, &labels, &thresholds))
}

/// The logits of labelled pairs, and their labels.
pub(super) fn labelled_pairs(
    model: &Model,
    products: Products,
    pairs: &Path,
    options: &EvalOptions<'_>,
    mut each: impl FnMut(&[f32]),
) -> Result<(Summary, Vec<f32>, Vec<bool>), JobError> {
    model.require(Task::Alignment)?;
    if let Some(variant) = options.variant {
        model.require_variant(variant)?;
    }
    let columns = PairOptions { label_column: Some(options.label_column.to_owned()), ..PairOptions::default() };
    let plan = Plan::vectors(options.session, options.workers, options.variant);
    let (mut logits, mut labels) = (Vec::new(), Vec::new());
    let run = PairRun { model, plan: &plan, progress: options.progress };
    let summary = run.over(pairs, &columns, products, |pair, logit| {
        if let (Ok(Pair { label: Some(label), .. }), Ok(logit)) = (pair, logit) {
            logits.push(*logit);
            labels.push(*label);
            each(&[*logit]);
        }
        Ok(())
    })?;
    Ok((summary, logits, labels))
}

/// Products encoded once, and the pair graph over pairs of them.
pub(super) struct PairRun<'a> {
    pub(super) model: &'a Model,
    pub(super) plan: &'a Plan<'a>,
    pub(super) progress: pipeline::Progress<'a>,
}

type Vectors = HashMap<String, Result<Vec<f32>, RowError>>;

impl PairRun<'_> {
    /// Hands every pair with its logit to `take`, in the order of the pairs.
    fn over(
        &self,
        pairs: &Path,
        columns: &PairOptions,
        products: Products,
        mut take: impl FnMut(&Result<Pair, BadRow>, &Result<f32, RowError>) -> Result<(), JobError>,
    ) -> Result<Summary, JobError> {
        let mut wanted = HashSet::new();
        for pair in Pairs::open(pairs, columns)?.flatten() {
            wanted.extend([pair.source, pair.target]);
        }
        let asked = products.filter(|row| match row {
            Ok(product) => wanted.contains(&product.id),
            // A second row of an id says nothing against the first.
            Err(bad) => bad.error.code != "duplicate_id" && bad.id.as_ref().is_some_and(|id| wanted.contains(id)),
        });
        let (vectors, mut summary) = self.encode(asked)?;
        let start = std::time::Instant::now();
        let mut head = self.head()?;
        let mut batch = Vec::new();
        let mut pairs = Pairs::open(pairs, columns)?;
        loop {
            let next = pairs.next();
            if let Some(Err(bad)) = &next
                && bad.is_input_lost()
            {
                return Err(JobError::InputLost { row: bad.row, reason: format!("pairs: {}", bad.error.message) });
            }
            let ended = next.is_none();
            batch.extend(next);
            if batch.len() == PAIR_BATCH || ended {
                let logits = pair_logits(
                    head.as_mut(),
                    batch.iter().map(|pair| match pair {
                        Ok(pair) => Ok((vector(&vectors, &pair.source)?, vector(&vectors, &pair.target)?)),
                        Err(bad) => Err(bad.error.clone()),
                    }),
                )?;
                for (pair, logit) in batch.iter().zip(&logits) {
                    match logit {
                        Ok(_) => summary.count_scored(),
                        Err(error) => summary.count_error(error),
                    }
                    take(pair, logit)?;
                }
                batch.clear();
            }
            if ended {
                break;
            }
        }
        summary.seconds += start.elapsed().as_secs_f64();
        Ok(summary)
    }

    /// The pooled vector of every product, or why there is none.
    fn encode(
        &self,
        products: impl Iterator<Item = Result<mbsd_data::Product, BadRow>> + Send,
    ) -> Result<(Vectors, Summary), JobError> {
        let mut vectors = Vectors::new();
        let summary = self.each_vector(products, |id, vector| vectors.extend(id.map(|id| (id, vector))))?;
        Ok((vectors, summary))
    }

    /// Hands the id and the pooled vector of every product, or why there is none, to `take`, in the order of the input.
    pub(super) fn each_vector(
        &self,
        products: impl Iterator<Item = Result<mbsd_data::Product, BadRow>> + Send,
        mut take: impl FnMut(Option<String>, Result<Vec<f32>, RowError>),
    ) -> Result<Summary, JobError> {
        let mut summary = Summary::default();
        let mut done = 0;
        let timing = pipeline::run(self.model, self.plan, products, |scored| {
            summary.count_product(&scored);
            let id = match scored.product {
                Ok(product) => Some(product.id),
                Err(bad) => bad.id,
            };
            take(id, scored.answer.map(|mut answer| answer.values.swap_remove(0)));
            done += 1;
            (self.progress)(done);
            Ok(())
        })?;
        summary.set_time(timing);
        Ok(summary)
    }

    /// The pair graph, on all threads.
    pub(super) fn head(&self) -> Result<Box<dyn Session>, JobError> {
        let options = SessionOptions {
            threads: std::num::NonZeroUsize::new(self.plan.workers.session_threads * self.plan.workers.sessions),
            ..self.plan.session.clone()
        };
        let limits = BatchLimits { max_tokens: PAIR_BATCH, max_rows: PAIR_BATCH };
        Sessions::new(self.model, options, 1, limits).take(Variant::Pair)
    }
}

/// The logit of each pair of vectors, or why there is none.
pub(super) fn pair_logits<'v>(
    head: &mut dyn Session,
    pairs: impl Iterator<Item = Result<(&'v [f32], &'v [f32]), RowError>>,
) -> Result<Vec<Result<f32, RowError>>, JobError> {
    let (mut sources, mut targets, mut rows) = (Vec::new(), Vec::new(), 0);
    let mut outcomes: Vec<Result<(), RowError>> = Vec::new();
    for pair in pairs {
        outcomes.push(pair.map(|(source, target)| {
            sources.extend_from_slice(source);
            targets.extend_from_slice(target);
            rows += 1;
        }));
    }
    let mut logits = Vec::new();
    if let Some(width) = sources.len().checked_div(rows) {
        let tensor = |data| {
            Tensor::f32([rows, width], data)
                .map_err(|error| JobError::Contract { graph: "encoder".to_owned(), reason: error.to_string() })
        };
        let inputs =
            NamedTensors::from([("source".to_owned(), tensor(sources)?), ("target".to_owned(), tensor(targets)?)]);
        logits = split(Variant::Pair, &head.run(&inputs)?, "logits", rows)?;
    }
    let mut logits = logits.into_iter();
    let mut next = || match logits.next().map(|row| row[0]) {
        Some(logit) if logit.is_finite() => Ok(logit),
        _ => Err(RowError::new("not_finite", "the pair graph gave a value that is not a number")),
    };
    Ok(outcomes.into_iter().map(|outcome| outcome.and_then(|()| next())).collect())
}

fn vector<'a>(vectors: &'a Vectors, id: &str) -> Result<&'a [f32], RowError> {
    match vectors.get(id) {
        Some(Ok(vector)) => Ok(vector),
        Some(Err(error)) => Err(RowError::new(error.code, format!("product `{id}`: {}", error.message))),
        None => Err(RowError::new("unknown_product", format!("the products have no usable row with the id `{id}`"))),
    }
}
