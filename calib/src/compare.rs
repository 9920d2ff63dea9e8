//! An 8-bit graph beside the f32 graph that it was made of: the same rows, the same engine.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mbsd_runtime::engine::{Engine, Session, SessionOptions};
use mbsd_runtime::job::{Model, Workers};
use mbsd_spec::bundle::QualityMeasured;
use mbsd_spec::{Bundle, NamedTensors, Precision, Task, Variant};

use crate::error::CalibError;
use crate::rows::{Measured, Rows};
use crate::tap::{Tap, Watch};

/// Batches that are kept to measure times and sensitivities on.
const KEPT_BATCHES: usize = 4;

/// Rounds of a time measurement: at least and at most, and how long it goes on in between.
const ROUNDS: std::ops::Range<usize> = 5..40;
const TIME: Duration = Duration::from_millis(600);

/// One engine over one bundle, with what was measured of its f32 graphs.
pub(crate) struct Bench<'a> {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) bundle: &'a Bundle,
    pub(crate) rows: &'a Rows<'a>,
    pub(crate) threads: Option<NonZeroUsize>,
    /// The precision of the graphs under test.
    pub(crate) precision: Precision,
}

/// What the f32 graph of a variant answers, and batches of its inputs.
pub(crate) struct Baseline {
    pub(crate) measured: Measured,
    pub(crate) batches: Vec<NamedTensors>,
    file: PathBuf,
}

/// An 8-bit graph beside its f32 graph.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    pub(crate) quality: QualityMeasured,
    /// Rows that are decided otherwise: another side of the threshold, another class.
    pub(crate) decided_otherwise: usize,
    /// Logit of the f32 graph and what the 8-bit graph's differs by; of the likeliest class for classification.
    pub(crate) points: Vec<(f32, f32)>,
    /// Rows that only the f32 graph has a result for.
    pub(crate) lost_rows: usize,
}

impl Baseline {
    /// The f32 graph.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}

impl Bench<'_> {
    fn workers(&self) -> Workers {
        Workers::new(self.engine.kind(), self.threads)
    }

    fn measure(
        &self,
        variant: Variant,
        files: BTreeMap<PathBuf, PathBuf>,
        watch: Option<Arc<Watch>>,
        precision: Precision,
        what: &str,
    ) -> Result<Measured, CalibError> {
        let tap = Tap::new(Arc::clone(&self.engine), files, watch);
        let model = Model::open(self.bundle, Arc::new(tap), Precision::F32)?.batched_as(precision);
        let what = format!("{variant}, {}: {what}", self.engine.kind());
        self.rows.measure(&model, variant, self.workers(), &what)
    }

    /// Measures the f32 graph.
    pub(crate) fn baseline(&self, variant: Variant) -> Result<Baseline, CalibError> {
        let (_, file) = self.bundle.artifact(variant, Precision::F32)?;
        let batches: Arc<Mutex<Vec<NamedTensors>>> = Arc::default();
        let kept = Arc::clone(&batches);
        let watch: Arc<Watch> = Arc::new(move |inputs, _| {
            // The list is whole whatever happened to another worker. The pair head runs through here too.
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT_BATCHES && !inputs.contains_key("source") {
                kept.push(inputs.clone());
            }
        });
        let measured = self.measure(variant, BTreeMap::new(), Some(watch), Precision::F32, "f32")?;
        let batches = std::mem::take(&mut *batches.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Baseline { measured, batches, file })
    }

    /// Measures an 8-bit graph of a variant.
    pub(crate) fn compare(
        &self,
        variant: Variant,
        graph: &Path,
        baseline: &Baseline,
    ) -> Result<Comparison, CalibError> {
        let files = BTreeMap::from([(baseline.file.clone(), graph.to_owned())]);
        let measured = self.measure(variant, files, None, self.precision, "8-bit")?;
        let (name, f32) = measure_of(&baseline.measured)?;
        let (_, quantized) = measure_of(&measured)?;
        let classes = self.bundle.task() == Task::Classification;
        let cut = logit(self.bundle.manifest().threshold.unwrap_or(0.5));
        let (mut max, mut sum, mut count) = (0f64, 0f64, 0usize);
        let (mut points, mut decided_otherwise) = (Vec::new(), 0);
        for (before, after) in baseline.measured.logits.iter().zip(&measured.logits) {
            for (a, b) in before.iter().zip(after) {
                let difference = f64::from((a - b).abs());
                max = max.max(difference);
                sum += difference;
                count += 1;
            }
            let best = largest(before);
            points.push((before[best], after[best] - before[best]));
            let same = if classes { best == largest(after) } else { (before[0] >= cut) == (after[0] >= cut) };
            decided_otherwise += usize::from(!same);
        }
        let quality = QualityMeasured {
            measure: name.to_owned(),
            f32,
            quantized,
            rows: measured.evaluation.summary.scored,
            max_abs_diff: max,
            mean_abs_diff: sum / count.max(1) as f64,
            speedup: self.speedup(graph, baseline)?,
            engine_version: self.engine.version(),
        };
        let lost_rows = baseline.measured.logits.len().saturating_sub(measured.logits.len());
        Ok(Comparison { quality, decided_otherwise, points, lost_rows })
    }

    /// A session as jobs have them.
    pub(crate) fn session(&self, graph: &Path) -> Result<Box<dyn Session>, CalibError> {
        let threads = NonZeroUsize::new(self.workers().session_threads);
        Ok(self.engine.load(graph, &SessionOptions { threads, ..SessionOptions::default() })?)
    }

    /// Time of the f32 graph through time of the other, in turns over the kept batches; the median of the rounds.
    fn speedup(&self, graph: &Path, baseline: &Baseline) -> Result<f64, CalibError> {
        let mut sessions = [self.session(&baseline.file)?, self.session(graph)?];
        let mut ratios = Vec::new();
        let start = Instant::now();
        while ratios.len() <= ROUNDS.start || (ratios.len() < ROUNDS.end && start.elapsed() < TIME) {
            let mut times = [0f64; 2];
            for (session, time) in sessions.iter_mut().zip(&mut times) {
                let start = Instant::now();
                for batch in &baseline.batches {
                    session.run(batch)?;
                }
                *time = start.elapsed().as_secs_f64();
            }
            ratios.push(times[0] / times[1].max(f64::MIN_POSITIVE));
        }
        // The first round allocates.
        ratios.remove(0);
        ratios.sort_by(f64::total_cmp);
        Ok(ratios[ratios.len() / 2])
    }
}

/// What a task is judged by: ROC-AUC, or accuracy for classification.
fn measure_of(measured: &Measured) -> Result<(&'static str, f64), CalibError> {
    let evaluation = &measured.evaluation;
    if evaluation.task == Task::Classification {
        return Ok(("accuracy", evaluation.accuracy));
    }
    match evaluation.roc_auc {
        Some(area) => Ok(("roc_auc", area)),
        None => Err(CalibError::NoRows("all labels are the same, which has no ROC-AUC; give rows of both".to_owned())),
    }
}

fn logit(probability: f32) -> f32 {
    (probability / (1.0 - probability)).ln()
}

fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}
