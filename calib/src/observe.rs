//! Ranges of activations, observed while the f32 graph answers the rows.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use mbsd_spec::Variant;
use serde::Serialize;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{TypeProto, ValueInfoProto, type_proto};

use crate::compare::Bench;
use crate::error::CalibError;
use crate::graph::{OnnxGraph, Product};
use crate::per_token;
use crate::ranges::{Histogram, RangeMethod};
use crate::tap::Watch;

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

/// The ranges of a graph's activations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranges {
    rows: Vec<RangeRow>,
}

impl Ranges {
    /// The ranges by tensor.
    pub(crate) fn chosen(&self) -> BTreeMap<String, f32> {
        self.rows.iter().map(|row| (row.activation.clone(), row.range)).collect()
    }

    pub(crate) fn into_rows(self) -> Vec<RangeRow> {
        self.rows
    }
}

/// Runs the rows through the f32 graph with the inputs of `products` as further outputs. `out` is where the 8-bit graph will
/// lie; the graph with outputs lies there meanwhile.
pub(crate) fn ranges(
    bench: &Bench<'_>,
    variant: Variant,
    graph: &OnnxGraph,
    products: &[Product],
    method: RangeMethod,
    out: &Path,
) -> Result<Ranges, CalibError> {
    let names: Vec<String> = per_token::inputs(products).into_iter().map(str::to_owned).collect();
    let mut observed = graph.clone();
    let outputs = &mut observed.graph_mut().output;
    for name in &names {
        if outputs.iter().all(|output| output.name != *name) {
            outputs.push(float_output(name));
        }
    }
    observed.write(out)?;
    drop(observed);
    let histograms: Arc<Mutex<BTreeMap<String, Histogram>>> = Arc::default();
    let filled = Arc::clone(&histograms);
    let wanted = names.clone();
    let watch: Arc<Watch> = Arc::new(move |_, outputs| {
        for name in &wanted {
            let Some(values) = outputs.get(name).and_then(|tensor| tensor.as_f32()) else { continue };
            let mut histograms = filled.lock().unwrap_or_else(PoisonError::into_inner);
            histograms.entry(name.clone()).or_default().observe(values);
        }
    });
    let observed = bench.observe(variant, out, watch);
    fs::remove_file(out).map_err(CalibError::io(out))?;
    observed?;
    let histograms = std::mem::take(&mut *histograms.lock().unwrap_or_else(PoisonError::into_inner));
    let row = |name: &String| -> Result<RangeRow, CalibError> {
        let wrong = |reason: String| CalibError::Range { name: name.clone(), reason };
        let histogram = histograms.get(name).ok_or_else(|| wrong("was not computed for any row".to_owned()))?;
        if histogram.not_finite() > 0 {
            let count = histogram.not_finite();
            return Err(wrong(format!(
                "held {count} values that are no finite numbers; look at the model or the data"
            )));
        }
        if histogram.largest() == 0.0 {
            return Err(wrong(
                "was 0 in every row, so it has no range; give rows like those to be served, or quantize per token"
                    .to_owned(),
            ));
        }
        Ok(RangeRow { activation: name.clone(), largest: histogram.largest(), range: histogram.range(method) })
    };
    Ok(Ranges { rows: names.iter().map(row).collect::<Result<_, _>>()? })
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
