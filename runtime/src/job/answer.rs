//! Products through their graphs without a question about the answers, for those who look at what a session computes.

use mbsd_data::{BadRow, Column, Product};
use mbsd_spec::{Task, Variant};

use super::JobError;
use super::model::Model;
use super::pipeline::{self, Plan, Progress, Workers};
use super::prepare::Question;
use super::score::Wanted;
use super::summary::Summary;
use super::tasks::position;
use crate::engine::SessionOptions;

/// How products are sent through their graphs.
pub struct AnswerOptions<'a> {
    /// Column with the tag; match only.
    pub tag_column: &'a str,
    /// Every row through this variant, the other modality dropped; by what a product has where `None`.
    pub variant: Option<Variant>,
    /// How graphs are loaded.
    pub session: &'a SessionOptions,
    /// How the cores are shared out.
    pub workers: Workers,
    /// Told how far the job is.
    pub progress: Progress<'a>,
}

/// Has every row answered, with its tag for match, and counts. Labels are not needed.
///
/// # Errors
/// See [`JobError`]; a missing tag column is one.
pub fn answer_each(
    model: &Model,
    columns: &[Column],
    products: impl Iterator<Item = Result<Product, BadRow>> + Send,
    options: &AnswerOptions<'_>,
) -> Result<Summary, JobError> {
    if let Some(variant) = options.variant {
        model.require_variant(variant)?;
    }
    let (question, wanted) = match model.task {
        Task::Match => (Question::TagColumn(position(columns, options.tag_column)?), Wanted::Logits),
        Task::Classification => (Question::Product, Wanted::Logits),
        Task::Alignment => (Question::Product, Wanted::Pooled),
    };
    let plan = Plan {
        question,
        wanted,
        forced: options.variant,
        session: options.session,
        workers: options.workers,
        cut: None,
    };
    let mut summary = Summary::default();
    let timing = pipeline::run(model, &plan, products, |scored| {
        summary.count_product(&scored);
        match &scored.answer {
            Ok(_) => summary.count_scored(),
            Err(error) => summary.count_error(error),
        }
        (options.progress)(summary.rows);
        Ok(())
    })?;
    summary.set_time(timing);
    Ok(summary)
}
