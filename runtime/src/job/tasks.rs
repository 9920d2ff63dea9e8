//! The jobs that write one row a product: tags, classes, vectors.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mbsd_data::{Candidates, Column, Product, Products};
use mbsd_spec::Task;

use super::JobError;
use super::choice::{Choice, TagOptions};
use super::model::Model;
use super::output::{Field, FieldType, OutputColumn};
use super::pipeline::{self, Cut, Plan, Workers};
use super::prepare::{Question, Tags};
use super::rows::{product_columns, product_fields};
use super::score::{Answer, Wanted};
use super::sink::{Destination, Opening, Rejected, Sink};
use super::summary::Summary;
use crate::engine::SessionOptions;

/// Where products come from and results go, and with what they are computed.
pub struct Catalogue<'a> {
    /// The products.
    pub products: Products,
    /// Their file, which the output must not replace.
    pub input: &'a Path,
    /// Where results go.
    pub output: Destination<'a>,
    /// Rows that may have no result before the job ends with an error.
    pub max_errors: Option<u64>,
    /// How graphs are loaded.
    pub session: &'a SessionOptions,
    /// How the cores are shared out.
    pub workers: Workers,
    /// Told how far the job is.
    pub progress: &'a (dyn Fn(Done) + Sync),
}

/// How far a job is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows that have a result or an error, those of earlier starts too.
    pub rows: u64,
    /// Questions answered.
    pub questions: u64,
    /// Rows without a result.
    pub errors: u64,
}

/// Scores tags for every product, for match bundles: all of `candidates`, or those listed for the product. Own column: `tags`, a list of
/// `{tag, score}`, best first, the score being the sigmoid of the logit.
///
/// # Errors
/// See [`JobError`]; a tag too long for the model is one, and so is a column of `candidates` that the input has not.
pub fn tag(
    model: &Model,
    candidates: &Candidates,
    options: &TagOptions,
    job: Catalogue<'_>,
) -> Result<Summary, JobError> {
    model.require(Task::Match)?;
    let tags = &candidates.tags;
    let by = match &candidates.by {
        Some(by) => Some((position(job.products.columns(), &by.column)?, by.clone())),
        None => None,
    };
    let asked = Arc::new(Tags::new(model, tags, by)?);
    let question = Question::Tags(asked.clone());
    let choice = Choice::new(tags, options, model)?;
    let own = [OutputColumn::new("tags", FieldType::Scores("tag"))];
    write_products(model, question, Wanted::Logits, &own, job, |product, answer| {
        let positions = asked.positions(product).unwrap_or_default();
        let scores = answer.values.iter().map(|logit| sigmoid(logit[0]));
        vec![Field::Scores(choice.keep(positions.into_iter().zip(scores)))]
    })
}

/// Where a further column of the input is.
pub(super) fn position(columns: &[Column], name: &str) -> Result<usize, JobError> {
    columns.iter().position(|column| column.name == name).ok_or_else(|| {
        let present = columns.iter().map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ");
        JobError::Setting(format!("the input has no column `{name}` beside the products; it has: {present}"))
    })
}

/// How many classes a product keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassifyOptions {
    /// The most probable ones; 1 at least.
    pub top: usize,
}

/// Puts every product into classes. Own columns: `label` and `score` of the most probable class, and `classes`, a list of
/// `{label, score}`, best first, the score being the softmax of the logits.
///
/// # Errors
/// See [`JobError`].
pub fn classify(model: &Model, options: ClassifyOptions, job: Catalogue<'_>) -> Result<Summary, JobError> {
    model.require(Task::Classification)?;
    let own = [
        OutputColumn::new("label", FieldType::Text),
        OutputColumn::new("score", FieldType::Score),
        OutputColumn::new("classes", FieldType::Scores("label")),
    ];
    write_products(model, Question::Product, Wanted::Logits, &own, job, |_, answer| {
        let scores = softmax(&answer.values[0]).into_iter().enumerate();
        let named = scores.map(|(class, score)| (model.label(class), score)).collect();
        let classes = best(named, options.top.max(1));
        vec![Field::text(Some(classes[0].0.clone())), Field::Score(classes[0].1), Field::Scores(classes)]
    })
}

/// Writes the pooled vector of every product. Own column: `vector`, of the model's hidden size.
///
/// # Errors
/// See [`JobError`]. A match bundle is refused: its vectors are of a tag and a product together.
pub fn embed(model: &Model, job: Catalogue<'_>) -> Result<Summary, JobError> {
    if model.task == Task::Match {
        let message = "a match bundle has no vector of a product alone; use a classification or an alignment bundle";
        return Err(JobError::Setting(message.to_owned()));
    }
    let own = [OutputColumn::new("vector", FieldType::Vector(model.config.hidden_size))];
    write_products(model, Question::Product, Wanted::Pooled, &own, job, |_, mut answer| {
        vec![Field::Vector(answer.values.swap_remove(0))]
    })
}

fn write_products(
    model: &Model,
    question: Question,
    wanted: Wanted,
    own: &[OutputColumn],
    job: Catalogue<'_>,
    mut fields: impl FnMut(&Product, Answer) -> Vec<Field>,
) -> Result<Summary, JobError> {
    let further = job.products.columns().len();
    let columns = product_columns(job.products.columns(), own);
    let mut summary = Summary::default();
    let mut output = match Sink::open(job.output, &columns, job.input, &mut summary)? {
        Opening::Ready(output) => output,
        Opening::Finished(earlier) => return Ok(*earlier),
    };
    let stopped = AtomicBool::new(false);
    let cut = match job.output {
        Destination::File(_) | Destination::Stream(_) => None,
        Destination::Folder(sharded) => Some(Cut { rows: sharded.rows, stop: &sharded.stop, stopped: &stopped }),
    };
    let plan = Plan { question, wanted, forced: None, session: job.session, workers: job.workers, cut };
    let earlier = usize::try_from(summary.earlier_rows).unwrap_or(usize::MAX);
    // Rows done earlier are read again, for their ids must not come a second time, and go no further.
    let timing = pipeline::run(model, &plan, job.products.skip(earlier), |scored| {
        let error = scored.answer.as_ref().err().cloned();
        let variant = scored.answer.as_ref().ok().map(|answer| answer.variant);
        let questions = scored.answer.as_ref().map_or(0, |answer| answer.values.len());
        let counted = |summary: &mut Summary| {
            summary.count(variant, error.as_ref());
            summary.count_questions(questions);
        };
        counted(&mut summary);
        let (row, id) = match &scored.product {
            Ok(product) => (product.row, Some(product.id.clone())),
            Err(bad) => (bad.row, bad.id.clone()),
        };
        let own = match (&scored.product, scored.answer) {
            (Ok(product), Ok(answer)) => {
                let variant = answer.variant;
                Ok((fields(product, answer), variant))
            }
            (Err(bad), Ok(_)) => Err((own.len(), bad.error.clone())),
            (_, Err(error)) => Err((own.len(), error)),
        };
        let rejected = error.as_ref().map(|error| Rejected { row, id: id.as_deref(), error });
        output.write(&product_fields(scored.product, further, own), rejected, counted)?;
        (job.progress)(Done { rows: summary.rows, questions: summary.questions, errors: summary.error_count() });
        match job.max_errors.filter(|&limit| summary.error_count() > limit) {
            Some(limit) => Err(summary.too_many(limit)),
            None => Ok(()),
        }
    })?;
    summary.set_time(timing);
    output.finish(&summary, stopped.load(Ordering::Relaxed))?;
    Ok(summary)
}

/// Highest score first, equal scores in their order; the first `top`.
fn best(mut named: Vec<(String, f32)>, top: usize) -> Vec<(String, f32)> {
    named.sort_by(|a, b| b.1.total_cmp(&a.1));
    named.truncate(top);
    named
}

/// `1 / (1 + e^-x)`.
pub(super) fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
