//! Runs of a loaded graph, on one thread or several.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use mbsd_spec::bundle::{DimSpec, TensorSpec};
use mbsd_spec::{NamedTensors, Tensor};
use rayon::prelude::*;
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::SimpleState;

use super::Loaded;
use crate::engine::{EngineError, EngineKind, Session, Source, check, guard};

type State = SimpleState<TypedFact, Box<dyn TypedOp>>;

/// A request of several rows is cut into one part a thread, each computed whole by its thread: what surrounds the products then
/// runs on all of them too. A request of few rows is computed in one piece, whose products and larger sums use all threads.
///
/// Rows are taken to be computed apart where one symbol leads every input and output of the graph, and is nowhere else.
pub(super) struct TractSession {
    graph: Arc<Loaded>,
    /// The threads that compute a piece.
    executor: Executor,
    /// One a part: made at the first run, and anew after a failed one.
    states: Vec<State>,
}

impl TractSession {
    pub(super) fn new(graph: Loaded, threads: usize) -> Self {
        let executor = if threads > 1 { Executor::multithread(threads) } else { Executor::SingleThread };
        Self { graph: Arc::new(graph), executor, states: Vec::new() }
    }

    /// The rows of each thread's part of a request, `None` where it is computed in one piece.
    fn parts(&self, inputs: &NamedTensors) -> Option<Vec<Range<usize>>> {
        let Executor::MultiThread(pool) = &self.executor else { return None };
        let rows = *inputs[self.graph.rows.as_ref()?].shape().first()?;
        let threads = pool.current_num_threads();
        let longest = rows.div_ceil(threads);
        // In one piece, two threads take some 0.6 of the time of one.
        let worth_it = rows >= threads && longest * threads * 5 <= rows * 6;
        worth_it.then(|| (0..threads).map(|part| rows * part / threads..rows * (part + 1) / threads).collect())
    }
}

/// The input that tells the number of rows, where rows are computed apart.
pub(super) fn rows(inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Option<String> {
    let leading = |spec: &TensorSpec| match spec.shape.split_first() {
        Some((DimSpec::Symbol(symbol), rest)) if !rest.contains(&DimSpec::Symbol(symbol.clone())) => {
            Some(symbol.clone())
        }
        _ => None,
    };
    let name = inputs.first()?.name.clone();
    let mut all = inputs.iter().chain(outputs).map(leading);
    let first = all.next()??;
    (first != check::ANONYMOUS && all.all(|symbol| symbol.as_ref() == Some(&first))).then_some(name)
}

impl Session for TractSession {
    fn run(&mut self, inputs: &NamedTensors) -> Result<NamedTensors, EngineError> {
        check::check(&self.graph.inputs, inputs)?;
        let parts = self.parts(inputs);
        let (graph, executor) = (Arc::clone(&self.graph), self.executor.clone());
        let states = std::mem::take(&mut self.states);
        let outcome = guard::catch(|| {
            let mut states = states;
            while states.len() < parts.as_ref().map_or(1, Vec::len) {
                states.push(SimpleState::new(&graph.plan)?);
            }
            let outputs = match (executor, parts) {
                (Executor::MultiThread(pool), Some(parts)) => pool.install(|| {
                    let part = |(state, rows): (&mut State, Range<usize>)| {
                        run(&graph, state, Executor::SingleThread, inputs, Some(rows))
                    };
                    states.par_iter_mut().zip(parts).map(part).collect::<Result<Vec<_>, Source>>()
                })?,
                // On a thread of the pool, which then has its other threads help without being woken for every operation.
                (Executor::MultiThread(pool), None) => {
                    let executor = Executor::MultiThread(Arc::clone(&pool));
                    vec![pool.install(|| run(&graph, &mut states[0], executor, inputs, None))?]
                }
                (executor, _) => vec![run(&graph, &mut states[0], executor, inputs, None)?],
            };
            Ok((joined(&graph.outputs, outputs)?, states))
        });
        match outcome {
            Ok((outputs, states)) => {
                self.states = states;
                Ok(outputs)
            }
            Err(source) => Err(EngineError::Run { engine: EngineKind::Tract, graph: self.graph.name.clone(), source }),
        }
    }

    fn inputs(&self) -> &[TensorSpec] {
        &self.graph.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.graph.outputs
    }

    fn placement(&self) -> BTreeMap<String, usize> {
        BTreeMap::from([(EngineKind::Tract.name().to_owned(), self.graph.plan.model().nodes().len())])
    }

    fn fork(&self) -> Result<Box<dyn Session>, EngineError> {
        Ok(Box::new(Self { graph: Arc::clone(&self.graph), executor: self.executor.clone(), states: Vec::new() }))
    }
}

/// The outputs, in graph order, for some of the rows or for all.
fn run(
    graph: &Loaded,
    state: &mut State,
    executor: Executor,
    inputs: &NamedTensors,
    rows: Option<Range<usize>>,
) -> Result<Vec<Tensor>, Source> {
    let values =
        graph.inputs.iter().map(|spec| value(spec, &inputs[&spec.name], rows.clone())).collect::<Result<_, _>>()?;
    let outputs = multithread_tract_scope(executor, || state.run(values))?;
    outputs.iter().map(tensor).collect()
}

/// The outputs of all parts, one behind the other.
fn joined(specs: &[TensorSpec], parts: Vec<Vec<Tensor>>) -> Result<NamedTensors, Source> {
    let mut parts = parts.into_iter();
    let mut all = parts.next().unwrap_or_default();
    for part in parts {
        for (all, part) in all.iter_mut().zip(part) {
            append(all, part)?;
        }
    }
    Ok(specs.iter().map(|spec| spec.name.clone()).zip(all).collect())
}

fn append(all: &mut Tensor, part: Tensor) -> Result<(), Source> {
    match (all, part) {
        (Tensor::F32 { shape, data }, Tensor::F32 { shape: added, data: values }) if shape[1..] == added[1..] => {
            shape[0] += added[0];
            data.extend(values);
        }
        (Tensor::I64 { shape, data }, Tensor::I64 { shape: added, data: values }) if shape[1..] == added[1..] => {
            shape[0] += added[0];
            data.extend(values);
        }
        _ => return Err("an output's shape depends on the number of rows; run the graph with one thread".into()),
    }
    Ok(())
}

/// A tensor, or some of its rows, as tract takes it, in the type of the graph's input.
fn value(spec: &TensorSpec, tensor: &Tensor, rows: Option<Range<usize>>) -> Result<TValue, Source> {
    use tract_onnx::prelude::Tensor as Dense;
    let mut shape = tensor.shape().to_vec();
    let mut values = 0..shape.iter().product();
    if let Some(rows) = rows {
        shape[0] = rows.len();
        let row: usize = shape[1..].iter().product();
        values = rows.start * row..rows.end * row;
    }
    let dense = match tensor {
        Tensor::F32 { data, .. } => Dense::from_shape(&shape, &data[values])?,
        Tensor::I64 { data, .. } => Dense::from_shape(&shape, &data[values])?,
    };
    let dense = match spec.dtype.as_str() {
        "bool" => dense.cast_to::<bool>()?.into_owned(),
        "int32" => dense.cast_to::<i32>()?.into_owned(),
        "uint8" => dense.cast_to::<u8>()?.into_owned(),
        _ => dense,
    };
    Ok(dense.into_tvalue())
}

/// A tensor as the rest of the program takes it: floats as float32, all else as int64.
fn tensor(value: &TValue) -> Result<Tensor, Source> {
    let shape = value.shape().to_vec();
    Ok(if value.datum_type().is_float() {
        let cast = value.cast_to::<f32>()?;
        Tensor::f32(shape, cast.to_plain_array_view::<f32>()?.iter().copied().collect::<Vec<_>>())?
    } else {
        let cast = value.cast_to::<i64>()?;
        Tensor::i64(shape, cast.to_plain_array_view::<i64>()?.iter().copied().collect::<Vec<_>>())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_apart_where_one_symbol_leads_everything() {
        let spec = |name: &str, shape: &[&str]| TensorSpec {
            name: name.to_owned(),
            dtype: "float32".to_owned(),
            shape: shape
                .iter()
                .map(|axis| axis.parse().map_or_else(|_| DimSpec::Symbol((*axis).to_owned()), DimSpec::Fixed))
                .collect(),
        };
        let (ids, logits) = (spec("ids", &["batch", "text"]), spec("logits", &["batch", "2"]));
        let of = |inputs: &[&TensorSpec], outputs: &[&TensorSpec]| {
            let owned = |specs: &[&TensorSpec]| specs.iter().map(|&spec| spec.clone()).collect::<Vec<_>>();
            rows(&owned(inputs), &owned(outputs))
        };
        assert_eq!(of(&[&ids], &[&logits]).as_deref(), Some("ids"));
        assert_eq!(of(&[&ids, &spec("images", &["images", "3"])], &[&logits]), None);
        assert_eq!(of(&[&ids], &[&logits, &spec("likeness", &["batch", "batch"])]), None);
        assert_eq!(of(&[&ids], &[&logits, &spec("mean", &["2"])]), None);
        assert_eq!(of(&[&spec("ids", &["?"])], &[&spec("logits", &["?"])]), None);
        assert_eq!(of(&[], &[&logits]), None);
    }
}
