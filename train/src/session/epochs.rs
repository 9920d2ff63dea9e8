//! What an epoch of a run is: its batches, how many steps they make, and by which variant it is measured.

use mbsd_spec::Variant;

use super::prepare::Prepared;
use super::random;
use crate::TrainError;
use crate::data::{BatchPlan, Removal, Row, epoch_plan};
use crate::run::Run;

/// The batches of an epoch.
pub(super) fn plans(run: &Run, data: &Prepared, epoch: u64) -> Vec<BatchPlan> {
    let mut random = random(run.seed, epoch);
    let (rows, removal) = (data.train_rows(run, epoch), removal(run, data));
    let together = data.train.form.title_position.is_some();
    let length = |row: &Row| data.train.length(row);
    let mut plans = epoch_plan(rows, together, run.training.batch_size, removal, length, &mut random);
    plans.retain(|plan| data.train.has_usable(&plan.rows, plan.variant));
    plans
}

/// The shares of training batches that lack a modality.
fn removal(run: &Run, data: &Prepared) -> Removal {
    let settings = &run.training;
    let (without_text, without_image) = match data.config.architecture.variants() {
        [Variant::Image] => (1.0, 0.0),
        [Variant::Text] => (0.0, 1.0),
        [_, _, ..] if run.objective.is_task() => (settings.without_text, settings.without_image),
        _ => (0.0, 0.0),
    };
    Removal { without_text, without_image }
}

/// The variant by which checkpoints are compared: the one with most modalities of those that are trained.
pub(super) fn scored_variant(run: &Run, data: &Prepared) -> Variant {
    let settings = &run.training;
    match data.config.architecture.variants() {
        [only] => *only,
        _ if run.objective.is_task() && settings.without_text >= 1.0 => Variant::Image,
        _ if run.objective.is_task() && settings.without_image >= 1.0 => Variant::Text,
        variants => variants[0],
    }
}

/// That there is something to train on, and something to measure it by.
pub(super) fn check_rows(run: &Run, data: &Prepared, steps: usize) -> Result<(), TrainError> {
    let scored = scored_variant(run, data);
    let path = if steps == 0 {
        &run.data.train
    } else if !data.validation.has_usable(&data.validation_rows, scored) {
        &run.data.validation
    } else {
        return Ok(());
    };
    let reason = match scored {
        Variant::Image => "no product of a row has an image, and this run is of images",
        _ => "no product of a row has a title, and this run is of titles",
    };
    Err(TrainError::NoRows { path: path.clone(), reason: reason.to_owned() })
}

/// Steps of the whole run. Epochs have different numbers of batches where their rows are drawn, where rows of a product stay
/// together, and where products lack a modality that a batch may be of.
pub(super) fn steps(run: &Run, data: &Prepared) -> usize {
    let together = data.train.form.title_position.is_some();
    let Removal { without_text, without_image } = removal(run, data);
    let all_usable = without_text + without_image == 0.0 || data.train.corpus.is_complete();
    let batches = |epoch| match data.constant_rows() {
        Some(rows) if !together && all_usable => rows.div_ceil(run.training.batch_size),
        _ => plans(run, data, epoch).len(),
    };
    (0..run.training.epochs as u64).map(|epoch| batches(epoch).div_ceil(run.optimizer.accumulation)).sum()
}
