//! Fine-tuning: a head for match or classification, on full and single-modality batches (paper, sections 4.4, 4.6).

mod prepare;

use std::fs;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use mbsd_net::{Mbsd, STANDARD_DEVIATION, load, load_encoder, weights};
use mbsd_spec::{Task, Variant};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::checkpoint::{BEST, Checkpoint, LAST, MetricsLog, OPTIMIZER, State, last};
use crate::data::{Augmentation, epoch_plan, prefetch};
use crate::evaluate::evaluate;
use crate::objective::head_loss;
use crate::optim::{Optimizer, Schedule};
use crate::progress::Progress;
use crate::trainer::{Trainer, initialized};
use crate::{Run, TrainError};
use prepare::Prepared;
pub(crate) use prepare::labelled;

/// Unusable rows that are named; the others are counted.
const NAMED_BAD_ROWS: usize = 20;

/// Where a session of a run starts and ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// Continue after the last finished epoch, if there is one; a finished run returns at once.
    pub resume: bool,
    /// End after so many epochs of this session, to be resumed later.
    pub stop_after: Option<usize>,
}

/// Trains as `run` says, on `device` (one without automatic differentiation), and leaves checkpoints in `run.output`.
/// A run in several sessions ends with the same weights as one in a single session.
///
/// # Errors
/// See [`TrainError`].
pub fn finetune(run: &Run, span: Span, device: &Device) -> Result<State, TrainError> {
    fs::create_dir_all(&run.output).map_err(TrainError::io("create", &run.output))?;
    let resumed = if span.resume { last(&run.output)? } else { None };
    let state = resumed.as_deref().map(|folder| resumable(run, folder)).transpose()?;
    if let Some(state) = state.as_ref().filter(|state| state.epoch >= run.training.epochs) {
        eprintln!("{}: finished already", run.output.display());
        return Ok(state.clone());
    }
    if resumed.is_none() && run.output.join(LAST).exists() {
        let reason = "it holds a run already: use --resume to continue it, or another output";
        return Err(TrainError::run("output", format!("{}: {reason}", run.output.display())));
    }
    let data = prepare::prepare(run, resumed.as_deref())?;
    for (name, bad) in [("training", &data.train.corpus.bad_rows), ("validation", &data.validation.corpus.bad_rows)] {
        if !bad.is_empty() {
            eprintln!("{} {name} rows cannot be used:", bad.len());
            bad.iter().take(NAMED_BAD_ROWS).for_each(|row| eprintln!("  {row}"));
        }
    }
    let mut session = Session::start(run, &data, device, resumed.as_deref().zip(state))?;
    session.train(span.stop_after)
}

/// Checks that a checkpoint belongs to this run.
fn resumable(run: &Run, folder: &Path) -> Result<State, TrainError> {
    let state = State::read(folder)?;
    // Where the output lies, and how often it is logged, changes nothing.
    let mut expected = state.run.clone();
    expected.output.clone_from(&run.output);
    expected.training.log_every = run.training.log_every;
    if expected == *run {
        Ok(state)
    } else {
        let reason = "it was made by another run file; undo the changes, or train anew into another output";
        Err(TrainError::Resume { path: folder.to_owned(), reason: reason.into() })
    }
}

struct Session<'a> {
    run: &'a Run,
    data: &'a Prepared,
    device: Device,
    trainer: Trainer,
    state: State,
    log: MetricsLog,
    progress: Progress,
}

impl<'a> Session<'a> {
    fn start(
        run: &'a Run,
        data: &'a Prepared,
        device: &Device,
        resumed: Option<(&Path, State)>,
    ) -> Result<Self, TrainError> {
        let training = device.clone().autodiff();
        device.seed(run.seed);
        let model = match &resumed {
            Some((folder, _)) => load(folder, &data.config, Some(run.task), &training)?.0,
            None => {
                let deviation = run.model.initializer_range.unwrap_or(STANDARD_DEVIATION);
                let model = initialized(Mbsd::init_with(&data.config, data.head, deviation, &training));
                match &run.model.weights {
                    Some(path) => start_from(model, path)?,
                    None => model,
                }
            }
        };
        let mut optimizer = Optimizer::new(&run.optimizer, &model);
        if let Some((folder, _)) = &resumed {
            optimizer.load(&folder.join(OPTIMIZER), &model, device)?;
        }
        let steps = data.train_rows(run, 0).len().div_ceil(run.training.batch_size) * run.training.epochs;
        let schedule = Schedule::new(run.optimizer.learning_rate, run.optimizer.warm_up, steps);
        let state = resumed.map_or_else(|| State::new(run), |(_, state)| state);
        let parameters: usize =
            weights::visit_parameters(&model).iter().map(|p| p.shape.iter().product::<usize>()).sum();
        eprintln!(
            "{}: {:.1}M parameters, {} entries in the vocabulary, {} training and {} validation rows, {steps} steps",
            run.task,
            parameters as f64 / 1e6,
            data.config.vocab_size,
            data.train_rows(run, 0).len(),
            data.validation_rows.len(),
        );
        Ok(Self {
            run,
            data,
            device: device.clone(),
            trainer: Trainer::new(model, optimizer, schedule, state.step),
            log: MetricsLog::open(&run.output, state.step)?,
            progress: Progress::new(steps, state.step),
            state,
        })
    }

    fn train(&mut self, stop_after: Option<usize>) -> Result<State, TrainError> {
        let epochs = self.state.epoch..self.run.training.epochs;
        for epoch in epochs.take(stop_after.unwrap_or(usize::MAX)) {
            self.epoch(epoch)?;
            let model = self.trainer.model().valid();
            let Self { progress, data, run, device, .. } = self;
            let measured = progress
                .pause(|| evaluate(&model, &data.validation, &data.validation_rows, run.training.batch_size, device));
            self.state.validation = measured?;
            self.state.epoch = epoch + 1;
            self.state.step = self.trainer.step;
            self.report()?;
            let score = self.state.validation[&Variant::Full].score();
            if self.state.best.is_none_or(|best| score > best) {
                self.state.best = Some(score);
                self.checkpoint(None).write(&self.run.output, BEST)?;
            }
            self.checkpoint(Some(&self.trainer.optimizer)).write(&self.run.output, LAST)?;
        }
        self.progress.finish();
        Ok(self.state.clone())
    }

    fn epoch(&mut self, epoch: usize) -> Result<(), TrainError> {
        let settings = &self.run.training;
        // Dropout draws from the device; seeded anew each epoch, a resumed run draws what an uninterrupted one does.
        self.device.seed(self.run.seed.wrapping_mul(1_000_003).wrapping_add(epoch as u64 + 1));
        let mut random = random(self.run.seed, epoch as u64);
        let augmentation = Augmentation {
            without_text: settings.without_text,
            without_image: settings.without_image,
            flip: settings.flip,
        };
        let rows = self.data.train_rows(self.run, epoch as u64);
        let length = |row: &_| self.data.train.length(row);
        let plans = epoch_plan(rows, settings.batch_size, augmentation, length, &mut random);
        let device = self.device.clone().autodiff();
        for batch in prefetch(&self.data.train, plans) {
            let mut batch = batch?;
            if batch.rows() == 0 {
                continue;
            }
            let (text, image) = batch.take_inputs(&device);
            let pooled = self.trainer.model().encode(text, image).pooled;
            let targets = batch.targets(self.run.task == Task::Match, &device);
            let loss = head_loss(self.trainer.model(), pooled, targets, settings.label_smoothing);
            let report = self.trainer.step(loss, &batch.products)?;
            let step = self.trainer.step;
            let rate = self.progress.step(step, epoch + 1, report.loss, batch.rows());
            if step.is_multiple_of(settings.log_every) {
                self.log.write(&json!({
                    "step": step,
                    "epoch": epoch + 1,
                    "loss": report.loss,
                    "gradient_norm": report.gradient_norm,
                    "learning_rate": report.learning_rate,
                    "samples_per_second": rate,
                }))?;
            }
        }
        Ok(())
    }

    /// Tells the validation measures to people and to the log.
    fn report(&mut self) -> Result<(), TrainError> {
        for (variant, metrics) in &self.state.validation {
            let areas = match (metrics.roc_auc, metrics.tag_roc_auc, metrics.tags) {
                (Some(all), Some(mean), Some(tags)) => {
                    format!("  ROC-AUC {all:.4}  mean of {tags} tags {mean:.4}")
                }
                (Some(all), ..) => format!("  ROC-AUC {all:.4}"),
                _ => String::new(),
            };
            self.progress.line(&format!(
                "epoch {}  {variant:<5}  loss {:.4}  accuracy {:.4}{areas}",
                self.state.epoch, metrics.loss, metrics.accuracy
            ));
        }
        self.log.write(&json!({
            "step": self.state.step,
            "epoch": self.state.epoch,
            "validation": self.state.validation,
        }))
    }

    fn checkpoint<'b>(&'b self, optimizer: Option<&'b Optimizer>) -> Checkpoint<'b> {
        Checkpoint {
            model: self.trainer.model(),
            config: &self.data.config,
            tokenizer: &self.data.train.tokenizer,
            labels: self.data.labels.as_deref(),
            state: &self.state,
            optimizer,
        }
    }
}

impl State {
    fn new(run: &Run) -> Self {
        Self { task: run.task, epoch: 0, step: 0, validation: Default::default(), best: None, run: run.clone() }
    }
}

fn start_from(model: Mbsd, path: &Path) -> Result<Mbsd, TrainError> {
    let (model, report) = load_encoder(model, path)?;
    eprintln!(
        "{}: {} weights taken, {} keep their initial values, {} not used",
        path.display(),
        report.loaded.len(),
        report.missing.len(),
        report.unexpected.len()
    );
    Ok(initialized(model))
}

/// The random numbers of one epoch; of the validation rows where `stream` is `u64::MAX`.
fn random(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    random
}
