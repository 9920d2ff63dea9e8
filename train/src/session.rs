//! One run: from a run file to checkpoints, whatever the objective.

pub(crate) mod diverged;
mod epochs;
mod prepare;
mod rows;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::iter::repeat;
use std::path::Path;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};
use mbsd_net::{Arithmetic, Mbsd, Network, STANDARD_DEVIATION, load_network, load_network_encoder, load_pretraining};
use mbsd_spec::Variant;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::checkpoint::{BEST, Checkpoint, LAST, MetricsLog, OPTIMIZER, State, TrainingProducts, has_others, recover};
use crate::curves;
use crate::data::{HostBatch, Portion, prefetch};
use crate::evaluate::{Metrics, evaluate, evaluate_stage1};
use crate::objective::{BatchLoss, Teacher};
use crate::optim::{Optimizer, Schedule};
use crate::progress::Progress;
use crate::run::{ArithmeticName, Difference, Objective};
use crate::trainer::{Trainer, initialized};
use crate::{Run, TrainError, parallel};
use epochs::{check_rows, plans, scored_variant, steps};
use prepare::Prepared;
pub(crate) use rows::{Texts, compared, labelled, side_by_side, tagged};

/// Unusable rows that are named; the others are counted.
const NAMED_BAD_ROWS: usize = 20;

/// Scores that differ by less are equal: reading one back from JSON may change its last bit.
const TIE: f64 = 1e-12;

/// Where a session of a run starts and ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// Continue from the last checkpoint, if there is one; a finished run returns at once.
    pub resume: bool,
    /// End after so many epochs of this session, to be resumed later.
    pub stop_after: Option<usize>,
    /// End after so many steps in all, with a checkpoint, to be resumed later.
    pub stop_at_step: Option<usize>,
}

/// Trains as `run` says and leaves checkpoints in `run.output`. A run in several sessions ends with the same weights as one
/// in a single session.
///
/// Of the `devices`, at least one and without automatic differentiation, the first holds weights and moments; with several,
/// each computes a part of every batch.
///
/// # Errors
/// See [`TrainError`].
pub fn train(run: &Run, span: Span, devices: &[Device]) -> Result<State, TrainError> {
    if run.training.arithmetic == ArithmeticName::Bf16
        && !devices.iter().all(|device| device.supports_dtype(FloatDType::BF16))
    {
        return Err(TrainError::run("training.arithmetic", "this device does not compute in bfloat16: use f32"));
    }
    fs::create_dir_all(&run.output).map_err(TrainError::io("create", &run.output))?;
    let _alone = lock(&run.output)?;
    let resumed = recover(&run.output, run.training.keep)?;
    if resumed.is_some() && !span.resume {
        let reason = "it holds a run already: use --resume to continue it, or another output";
        return Err(TrainError::run("output", format!("{}: {reason}", run.output.display())));
    }
    if resumed.is_none() && has_others(&run.output)? {
        let reason = "it holds checkpoints of a run, but not `last`, from which one goes on: take another output";
        return Err(TrainError::run("output", format!("{}: {reason}", run.output.display())));
    }
    let state = resumed.as_deref().map(|folder| resumable(run, folder)).transpose()?;
    if let Some(state) = state.as_ref().filter(|state| state.epoch >= run.training.epochs) {
        eprintln!("{}: finished already", run.output.display());
        return Ok(state.clone());
    }
    diverged::forget(&run.output)?;
    let data = prepare::prepare(run, resumed.as_deref())?;
    let mut session = Session::start(run, &data, devices, resumed.as_deref().zip(state))?;
    let outcome = session.train(span);
    if let Err(error @ TrainError::Diverged { .. }) = &outcome {
        diverged::note(&run.output, error)?;
    }
    outcome
}

/// Keeps other processes out of a run's folder until it is dropped, or the process ends in whatever way.
fn lock(output: &Path) -> Result<File, TrainError> {
    let path = output.join(".lock");
    let file = File::create(&path).map_err(TrainError::io("create", &path))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(TrainError::Busy { path: output.to_owned() }),
        Ok(()) => Ok(file),
        Err(TryLockError::Error(_)) => {
            eprintln!(
                "{}: this file system has no locks: see to it that no other process trains into it",
                output.display()
            );
            Ok(file)
        }
    }
}

/// Tells of rows that cannot be used.
fn name_bad_rows(name: &str, bad: &[String]) {
    if !bad.is_empty() {
        eprintln!("{name}: {} rows cannot be used:", bad.len());
        bad.iter().take(NAMED_BAD_ROWS).for_each(|row| eprintln!("  {row}"));
    }
}

/// Checks that a checkpoint belongs to this run.
fn resumable(run: &Run, folder: &Path) -> Result<State, TrainError> {
    let state = State::read(folder)?;
    match state.run.difference(run) {
        None => Ok(state),
        Some(Difference { key, values: [before, now] }) => {
            let reason = format!("`{key}` was {before} and is {now} now: undo that, or train anew into another output");
            Err(TrainError::Resume { path: folder.to_owned(), reason })
        }
    }
}

/// That a run goes on with the products it began with, but for as many as may be unusable: an image may have been lost.
fn same_products(
    run: &Run,
    folder: &Path,
    before: &TrainingProducts,
    now: &TrainingProducts,
) -> Result<(), TrainError> {
    if before == now {
        return Ok(());
    }
    let counts = format!("{} products, and there are {} now", before.count, now.count);
    if before.count.abs_diff(now.count) as f64 > run.data.max_bad_rows * before.count as f64 {
        let reason = format!("the run began with {counts}: bring them back, or train anew into another output");
        return Err(TrainError::Resume { path: folder.to_owned(), reason });
    }
    eprintln!("the training products have changed: it began with {counts}. The run goes on with these");
    Ok(())
}

struct Session<'a> {
    run: &'a Run,
    data: &'a Prepared,
    /// Where batches are computed, with automatic differentiation.
    devices: Vec<Device>,
    /// The first of them without.
    device: Device,
    trainer: Trainer<Network>,
    /// For each device, or none.
    teachers: Vec<Teacher>,
    state: State,
    loss: BatchLoss,
    log: MetricsLog,
    progress: Progress,
    saved: Instant,
}

impl<'a> Session<'a> {
    fn start(
        run: &'a Run,
        data: &'a Prepared,
        devices: &[Device],
        resumed: Option<(&Path, State)>,
    ) -> Result<Self, TrainError> {
        let device = &devices[0];
        let training = device.clone().autodiff();
        device.seed(run.seed);
        let deviation = run.model.initializer_range.unwrap_or(STANDARD_DEVIATION);
        let fresh = || match run.objective {
            Objective::Stage1 => {
                let model = Mbsd::init_with(&data.config, data.head, deviation, &training);
                initialized(model.with_reconstruction(&data.config, deviation, &training).into())
            }
            _ => initialized(Network::init_with(&data.config, data.head, deviation, &training)),
        };
        let model = match (&resumed, run.model.weights.as_ref().or(run.model.checkpoint.as_ref())) {
            (Some((folder, _)), _) if run.objective == Objective::Stage1 => match fresh() {
                Network::Mbsd(model) => load_pretraining(model, folder)?.0.into(),
                other => other,
            },
            (Some((folder, _)), _) => load_network(folder, &data.config, Some(run.objective.task()), &training)?.0,
            (None, Some(path)) => start_from(fresh(), path)?,
            (None, None) => fresh(),
        };
        let model = model.with_arithmetic(run.training.arithmetic.into());
        let named = model.parameters();
        let parameters: usize = named.iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum();
        let mut optimizer = Optimizer::new(&run.optimizer, named.clone());
        if let Some((folder, _)) = &resumed {
            optimizer.load(&folder.join(OPTIMIZER), named, device)?;
        }
        let steps = steps(run, data);
        check_rows(run, data, steps)?;
        let schedule = Schedule::new(run.optimizer.learning_rate, run.optimizer.warm_up, steps);
        let products = data.train.corpus.products();
        if let Some((path, State { products: Some(before), .. })) = &resumed {
            same_products(run, path, before, &products)?;
        }
        let state = resumed.map_or_else(|| State::new(run), |(_, state)| state);
        let state = State { steps, products: Some(products), ..state };
        eprintln!(
            "{}: {:.1}M parameters, {} entries in the vocabulary, {} training and {} validation rows, {steps} steps",
            run.objective,
            parameters as f64 / 1e6,
            data.config.vocab_size,
            data.train_rows(run, 0).len(),
            data.validation_rows.len(),
        );
        Ok(Self {
            run,
            data,
            teachers: teachers(run, data, devices)?,
            devices: devices.iter().map(|device| device.clone().autodiff()).collect(),
            device: device.clone(),
            trainer: Trainer::new(model, optimizer, schedule, state.step),
            log: MetricsLog::open(&run.output, &state)?,
            progress: Progress::new(steps, state.step),
            loss: batch_loss(run),
            state,
            saved: Instant::now(),
        })
    }

    fn train(&mut self, span: Span) -> Result<State, TrainError> {
        let epochs = self.state.epoch..self.run.training.epochs;
        for epoch in epochs.take(span.stop_after.unwrap_or(usize::MAX)) {
            if !self.epoch(epoch, span.stop_at_step)? {
                break;
            }
            self.state.validation = self.validate()?;
            if self.state.validation.values().any(|metrics| !metrics.loss.is_finite()) {
                let step = self.trainer.step;
                return Err(TrainError::Diverged { what: "the validation loss", step, products: Vec::new() });
            }
            (self.state.epoch, self.state.batch, self.state.step) = (epoch + 1, 0, self.trainer.step);
            self.report()?;
            let scored = self.state.validation.get(&scored_variant(self.run, self.data));
            if let Some(score) = scored.map(Metrics::score)
                && self.state.best.is_none_or(|best| score > best + TIE)
            {
                self.state.best = Some(score);
                self.checkpoint(None).write(&self.run.output, BEST)?;
            }
            self.save()?;
        }
        self.progress.finish();
        Ok(self.state.clone())
    }

    /// Trains one epoch, from where a checkpoint within it left off. False if it ended early, as asked.
    fn epoch(&mut self, epoch: usize, stop_at_step: Option<usize>) -> Result<bool, TrainError> {
        let reached = |step: usize| stop_at_step.is_some_and(|stop| step >= stop);
        if reached(self.trainer.step) {
            return Ok(false);
        }
        let mut plans = plans(self.run, self.data, epoch as u64);
        let batches = plans.len();
        let taken = self.state.batch.min(batches);
        let together = self.run.optimizer.accumulation;
        let mut prefetched = prefetch(&self.data.train, plans.split_off(taken), together);
        for start in (taken..batches).step_by(together) {
            let taken = batches.min(start + together);
            self.step(prefetched.by_ref().take(together).collect::<Result<_, _>>()?, epoch)?;
            let stop = reached(self.trainer.step);
            // Validation may take long.
            if stop || taken == batches || self.is_due() {
                (self.state.batch, self.state.step) = (taken, self.trainer.step);
                self.save()?;
            }
            if stop {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a step down the mean loss of some batches' rows together. Batches all of whose images are lost make none.
    fn step(&mut self, mut batches: Vec<HostBatch>, epoch: usize) -> Result<(), TrainError> {
        batches.retain(|batch| batch.rows() > 0);
        if batches.is_empty() {
            return Ok(());
        }
        let settings = &self.run.training;
        let rows = batches.iter().map(HostBatch::rows).sum();
        let portions = Portion::of_each(&batches);
        let mut terms = Vec::new();
        for ((batch, whole), number) in batches.into_iter().zip(portions).zip(1..) {
            // Dropout draws from random numbers of the process: seeded anew for each batch, a resumed run draws what an
            // uninterrupted one does. Several devices draw in the order in which they come to it.
            let before = (self.trainer.step * self.run.optimizer.accumulation) as u64;
            self.device.seed(self.run.seed.wrapping_mul(1_000_003).wrapping_add(before + number));
            let products = batch.products.clone();
            let teachers = self.teachers.iter().cloned().map(Some).chain(repeat(None));
            let (loss, parts) = (self.loss, batch.split(self.devices.len()).into_iter().zip(teachers).collect());
            let computed = parallel::gradients(
                self.trainer.model(),
                &self.devices,
                parts,
                |model, ((mut part, portion), teacher), device| {
                    loss.compute(model, teacher.as_ref(), &mut part, portion.within(whole), device)
                },
            );
            self.trainer.add(computed.loss, computed.gradients, &products)?;
            terms.extend(computed.terms);
        }
        let report = self.trainer.step()?;
        let step = self.trainer.step;
        let rate = self.progress.step(step, epoch + 1, report.loss, rows);
        if step.is_multiple_of(settings.log_every) {
            let mut line = json!({
                "step": step,
                "epoch": epoch + 1,
                "loss": report.loss,
                "gradient_norm": report.gradient_norm,
                "learning_rate": report.learning_rate,
                "samples_per_second": rate,
            });
            let terms = sums(terms);
            self.progress.terms(&terms);
            if !terms.is_empty() {
                line["terms"] = terms.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
            }
            self.log.write(&line)?;
        }
        Ok(())
    }

    /// Whether a checkpoint is due within the epoch.
    fn is_due(&self) -> bool {
        let settings = &self.run.training;
        let minutes = Duration::from_secs_f64(60.0 * settings.checkpoint_minutes.min(1e6));
        self.saved.elapsed() >= minutes
            || settings.checkpoint_steps.is_some_and(|steps| self.trainer.step.is_multiple_of(steps))
    }

    /// Writes the checkpoint to go on from, and the curves.
    fn save(&mut self) -> Result<(), TrainError> {
        let checkpoint = self.checkpoint(Some(&self.trainer.optimizer));
        checkpoint.write_keeping(&self.run.output, LAST, self.run.training.keep)?;
        curves::write(&self.run.output, &self.run.objective.to_string())?;
        self.saved = Instant::now();
        Ok(())
    }

    fn validate(&mut self) -> Result<BTreeMap<Variant, Metrics>, TrainError> {
        // What is exported computes in single precision, whatever training does.
        let model = self.trainer.model().valid().with_arithmetic(Arithmetic::F32);
        let Self { progress, data, run, device, .. } = self;
        let (rows, batch_size) = (&data.validation_rows, run.training.batch_size);
        progress.pause(|| match run.objective {
            Objective::Stage1 => {
                let Some(model) = model.mbsd() else { return Ok(BTreeMap::new()) };
                let metrics = evaluate_stage1(model, &data.validation, rows, batch_size, device)?;
                Ok([(Variant::Full, metrics)].into())
            }
            _ => evaluate(&model, &data.validation, rows, batch_size, device),
        })
    }

    /// Tells the validation measures to people and to the log.
    fn report(&mut self) -> Result<(), TrainError> {
        for (variant, metrics) in &self.state.validation {
            let areas = match (metrics.roc_auc, metrics.tag_roc_auc, metrics.tags) {
                (Some(all), Some(mean), Some(tags)) => {
                    format!("  ROC-AUC {all:.4}  mean of {tags} tags {mean:.4}")
                }
                (Some(all), ..) => format!("  ROC-AUC {all:.4}  F1 {:.4}", metrics.f1.unwrap_or_default()),
                _ => metrics.patch_error.map_or_else(String::new, |error| format!("  patch error {error:.4}")),
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
        Self {
            task: run.objective.task(),
            epoch: 0,
            batch: 0,
            step: 0,
            steps: 0,
            products: None,
            validation: Default::default(),
            best: None,
            run: run.clone(),
        }
    }
}

fn batch_loss(run: &Run) -> BatchLoss {
    match (&run.stage2, run.objective) {
        (_, Objective::Stage1) => BatchLoss::Stage1(run.stage1.clone().unwrap_or_default().patch_loss),
        (Some(stage2), Objective::Stage2) => BatchLoss::Stage2(stage2.sdmi(run.recipe)),
        _ => BatchLoss::Head { smoothing: run.training.label_smoothing },
    }
}

/// The run's teacher, if it has one, on each device.
fn teachers(run: &Run, data: &Prepared, devices: &[Device]) -> Result<Vec<Teacher>, TrainError> {
    let Some((settings, config)) = run.teacher.as_ref().zip(data.teacher.as_ref()) else { return Ok(Vec::new()) };
    let teacher = |device| {
        let (model, _) = load_network(&settings.checkpoint, config, Some(run.objective.task()), device)?;
        let model = model.with_arithmetic(run.training.arithmetic.into());
        Ok(Teacher { model, weight: settings.weight, temperature: settings.temperature })
    };
    devices.iter().map(teacher).collect()
}

/// Adds up the terms of a loss that parts of a batch have, each where it was computed.
fn sums(terms: Vec<(&'static str, Tensor<1>)>) -> Vec<(&'static str, f64)> {
    let mut sums: Vec<(&str, f64)> = Vec::new();
    for (name, loss) in terms {
        let value = f64::from(loss.into_scalar::<f32>());
        match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += value,
            None => sums.push((name, value)),
        }
    }
    sums
}

/// Takes what a checkpoint has of the model; the rest stays as it was drawn.
fn start_from(model: Network, path: &Path) -> Result<Network, TrainError> {
    let (model, report) = load_network_encoder(model, path)?;
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
