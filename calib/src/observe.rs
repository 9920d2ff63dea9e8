//! What activations are like, observed while an f32 graph answers rows. Kept are histograms and maxima, never activations.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use mbsd_runtime::engine::Engine;
use mbsd_runtime::job::{Model, Workers};
use mbsd_spec::{Bundle, Precision, Tensor, Variant};
use serde::Serialize;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{TypeProto, ValueInfoProto, type_proto};

use crate::error::CalibError;
use crate::graph::OnnxGraph;
use crate::ranges::{Histogram, RangeMethod};
use crate::rows::RangeRows;
use crate::tap::{Tap, Watch};

/// A range that was chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RangeRow {
    /// The tensor.
    pub activation: String,
    /// The largest magnitude observed.
    pub largest: f32,
    /// The largest magnitude that the graph tells apart.
    pub range: f32,
}

/// One engine over one bundle, and rows to run through its graphs.
pub(crate) struct Observer<'a> {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) bundle: &'a Bundle,
    pub(crate) rows: &'a RangeRows,
    pub(crate) threads: Option<NonZeroUsize>,
}

impl Observer<'_> {
    /// The ranges of the named tensors. `graph` is a variant's graph or one that stands in for it; with further outputs it lies at
    /// `probe` meanwhile.
    pub(crate) fn ranges(
        &self,
        variant: Variant,
        graph: &OnnxGraph,
        names: &[String],
        method: RangeMethod,
        probe: &Path,
    ) -> Result<Vec<RangeRow>, CalibError> {
        let histograms = self
            .observe(variant, graph, names, probe, |histogram: &mut Histogram, _, values| histogram.observe(values))?;
        let row = |name: &String| -> Result<RangeRow, CalibError> {
            let histogram = histograms.get(name).ok_or_else(|| not_computed(name))?;
            finite(name, histogram.not_finite())?;
            if histogram.largest() == 0.0 {
                let reason =
                    "was 0 in every row, so it has no range; give rows like those to be served, or quantize per token";
                return Err(wrong(name, reason.to_owned()));
            }
            Ok(RangeRow { activation: name.clone(), largest: histogram.largest(), range: histogram.range(method) })
        };
        names.iter().map(row).collect()
    }

    /// The largest magnitude of each channel, the last axis, of the named tensors.
    pub(crate) fn channels(
        &self,
        variant: Variant,
        graph: &OnnxGraph,
        names: &[String],
        probe: &Path,
    ) -> Result<BTreeMap<String, Vec<f32>>, CalibError> {
        let maxima = self.observe(variant, graph, names, probe, Channels::observe)?;
        let channels = |name: &String| -> Result<(String, Vec<f32>), CalibError> {
            let channels = maxima.get(name).ok_or_else(|| not_computed(name))?;
            finite(name, channels.not_finite)?;
            Ok((name.clone(), channels.largest.clone()))
        };
        names.iter().map(channels).collect()
    }

    /// Runs the rows through a graph and hands the shape and values of the named tensors to `each`, with what it has kept of
    /// that tensor.
    fn observe<T: Default + Send + 'static>(
        &self,
        variant: Variant,
        graph: &OnnxGraph,
        names: &[String],
        probe: &Path,
        each: fn(&mut T, &[usize], &[f32]),
    ) -> Result<BTreeMap<String, T>, CalibError> {
        let mut observed = graph.clone();
        let outputs = &mut observed.graph_mut().output;
        for name in names {
            if outputs.iter().all(|output| output.name != *name) {
                outputs.push(float_output(name));
            }
        }
        observed.write(probe)?;
        drop(observed);
        let kept: Arc<Mutex<BTreeMap<String, T>>> = Arc::default();
        let (filled, wanted) = (Arc::clone(&kept), names.to_vec());
        let watch: Arc<Watch> = Arc::new(move |_, outputs| {
            for name in &wanted {
                let Some(Tensor::F32 { data, .. }) = outputs.get(name) else { continue };
                // What is kept of a tensor is whole whatever happened to another worker.
                let mut kept = filled.lock().unwrap_or_else(PoisonError::into_inner);
                each(kept.entry(name.clone()).or_default(), outputs[name].shape(), data);
            }
        });
        let (_, file) = self.bundle.artifact(variant, Precision::F32)?;
        let tap = Tap::new(Arc::clone(&self.engine), BTreeMap::from([(file, probe.to_owned())]), Some(watch));
        let model = Model::open(self.bundle, Arc::new(tap), Precision::F32)?;
        let workers = Workers::new(self.engine.kind(), self.threads);
        let answered = self.rows.answer(&model, variant, workers, &format!("{variant}: ranges"));
        fs::remove_file(probe).map_err(CalibError::io(probe))?;
        answered?;
        Ok(std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The largest magnitude of each channel.
#[derive(Default)]
struct Channels {
    largest: Vec<f32>,
    not_finite: u64,
}

impl Channels {
    fn observe(&mut self, shape: &[usize], values: &[f32]) {
        let width = shape.last().copied().unwrap_or(1).max(1);
        self.largest.resize(width, 0.0);
        for row in values.chunks_exact(width) {
            for (largest, value) in self.largest.iter_mut().zip(row) {
                if value.is_finite() {
                    *largest = largest.max(value.abs());
                } else {
                    self.not_finite += 1;
                }
            }
        }
    }
}

fn finite(name: &str, not_finite: u64) -> Result<(), CalibError> {
    if not_finite == 0 {
        return Ok(());
    }
    Err(wrong(name, format!("held {not_finite} values that are no finite numbers; look at the model or the data")))
}

fn not_computed(name: &str) -> CalibError {
    wrong(name, "was not computed for any row".to_owned())
}

fn wrong(name: &str, reason: String) -> CalibError {
    CalibError::Range { name: name.to_owned(), reason }
}

/// An output of floats, of whatever shape.
fn float_output(name: &str) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: None };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
