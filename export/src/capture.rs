//! Records a Burn module's forward at several sizes.
//!
//! The module's parameters are replaced by placeholders on the capture device, so that a trace costs no
//! memory for weights; their values are read from the module itself when the graph is written.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, DType as BurnDType, Device, Int, Tensor, TensorData};
use burn_capture::{CapturedGraph, TensorId};
use burn_ir::{BaseOperationIr, OperationIr};

use crate::boundary::{Extent, InputSpec, Inputs, Output, OutputTensor};
use crate::dims::MAX_SYMBOLS;
use crate::error::ExportError;
use crate::graph::{DType, Weight};
use crate::lower::operation_name;

/// One recording of the forward.
pub(crate) struct Trace {
    pub(crate) sizes: Vec<i64>,
    pub(crate) captured: CapturedGraph,
    pub(crate) inputs: Vec<(String, DType, Vec<usize>, Option<TensorId>)>,
    pub(crate) outputs: Vec<(String, TensorId)>,
    pub(crate) parameters: BTreeMap<TensorId, Arc<Weight>>,
}

/// The named sizes of a set of inputs, in order of first appearance.
pub(crate) fn symbols(inputs: &[InputSpec]) -> Result<Vec<(String, Option<usize>)>, ExportError> {
    let mut found: Vec<(String, Option<usize>)> = Vec::new();
    for extent in inputs.iter().flat_map(|i| &i.shape) {
        let Extent::Symbol { name, max } = extent else { continue };
        match found.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = [*known, *max].into_iter().flatten().min(),
            None => found.push((name.clone(), *max)),
        }
    }
    if found.len() > MAX_SYMBOLS {
        return Err(ExportError::Boundary(format!("{} named sizes, at most {MAX_SYMBOLS} can be solved", found.len())));
    }
    Ok(found)
}

/// Three sizes for each symbol: two corners of the grid that the fit goes through and one to check it.
/// Distinct primes as far as the symbols' limits allow, so that no two extents agree by chance.
pub(crate) fn trace_sizes(symbols: &[(String, Option<usize>)]) -> Result<Vec<[i64; 3]>, ExportError> {
    const CANDIDATES: [i64; 17] = [3, 5, 7, 11, 13, 17, 19, 23, 29, 2, 4, 6, 8, 9, 10, 12, 1];
    let mut taken = Vec::new();
    symbols
        .iter()
        .map(|(name, max)| {
            let fits = |c: &&i64| max.is_none_or(|max| **c <= max as i64);
            let fresh: Vec<i64> = CANDIDATES.iter().filter(fits).filter(|c| !taken.contains(*c)).copied().collect();
            let any: Vec<i64> = CANDIDATES.iter().filter(fits).copied().collect();
            let from = if fresh.len() >= 3 { fresh } else { any };
            let &[a, b, c, ..] = from.as_slice() else {
                return Err(ExportError::Boundary(format!("size `{name}` needs a limit of at least 3 to be solved")));
            };
            taken.extend([a, b, c]);
            Ok([a, b, c])
        })
        .collect()
}

/// The module's parameters by path, each read from the module when its bytes are asked for.
pub(crate) fn parameters<M: Module>(module: &M) -> BTreeMap<String, Arc<Weight>> {
    let mut visitor = ParameterVisitor::default();
    module.visit(&mut visitor);
    visitor.weights
}

#[derive(Default)]
struct ParameterVisitor {
    path: Vec<String>,
    weights: BTreeMap<String, Arc<Weight>>,
}

impl ParameterVisitor {
    fn record(&mut self, dtype: DType, shape: Vec<usize>, read: impl Fn() -> TensorData + Send + Sync + 'static) {
        let path = self.path.join(".");
        let weight = Weight::deferred(path.clone(), dtype, shape, move || bytes_of(&read(), dtype));
        self.weights.insert(path, Arc::new(weight));
    }
}

impl ModuleVisitor for ParameterVisitor {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        self.record(DType::F32, tensor.dims().to_vec(), move || tensor.to_data());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        let tensor = param.val();
        self.record(DType::I64, tensor.dims().to_vec(), move || tensor.to_data());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        let tensor = param.val();
        self.record(DType::Bool, tensor.dims().to_vec(), move || tensor.to_data());
    }
}

/// Replaces every parameter by an uninitialised tensor on the capture device and notes its id and path.
struct Placeholders<'a> {
    device: &'a Device,
    path: Vec<String>,
    ids: Vec<(TensorId, String)>,
}

impl Placeholders<'_> {
    fn note<T: OutputTensor>(&mut self, tensor: T) {
        let id = tensor.capture_id().expect("a placeholder lies on the capture device");
        self.ids.push((id, self.path.join(".")));
    }
}

impl ModuleMapper for Placeholders<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let placeholder = Tensor::<D>::empty(value.dims(), (self.device, BurnDType::F32));
        self.note(placeholder.clone());
        Param::from_mapped_value(id, placeholder, mapper)
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let (id, value, mapper) = param.consume();
        let placeholder = Tensor::<D, Int>::empty(value.dims(), (self.device, BurnDType::I64));
        self.note(placeholder.clone());
        Param::from_mapped_value(id, placeholder, mapper)
    }

    fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        let (id, value, mapper) = param.consume();
        let placeholder = Tensor::<D, Bool>::empty(value.dims(), self.device);
        self.note(placeholder.clone());
        Param::from_mapped_value(id, placeholder, mapper)
    }
}

/// Runs the forward once, at the given sizes of the symbols, on a capture device of its own.
pub(crate) fn trace<M: Module>(
    module: &M,
    weights: &BTreeMap<String, Arc<Weight>>,
    inputs: &[InputSpec],
    symbols: &[(String, Option<usize>)],
    sizes: &[i64],
    forward: &impl Fn(&M, &Inputs) -> Vec<Output>,
) -> Result<Trace, ExportError> {
    let extent = |extent: &Extent| match extent {
        Extent::Fixed(n) => *n,
        Extent::Symbol { name, .. } => {
            symbols.iter().position(|(known, _)| known == name).map_or(0, |i| sizes[i] as usize)
        }
    };
    let shapes: BTreeMap<String, (DType, Vec<usize>)> =
        inputs.iter().map(|i| (i.name.clone(), (i.dtype, i.shape.iter().map(extent).collect()))).collect();
    let device = Device::capture();
    let mut parameters = BTreeMap::new();
    let mut input_ids = BTreeMap::new();
    let mut outputs: Vec<(String, TensorId)> = Vec::new();
    let mut failure = None;
    let mut panic = None;
    let recorded = catch_unwind(AssertUnwindSafe(|| {
        device.capture_scope(|scope| {
            let mut placeholders = Placeholders { device: &device, path: Vec::new(), ids: Vec::new() };
            // `valid` and not `clone`: clones share running statistics, and mapping one would take them from the caller.
            let module = module.valid().map(&mut placeholders).to_device(&device);
            for (id, path) in placeholders.ids {
                if let Some(weight) = weights.get(&path) {
                    parameters.insert(id, Arc::clone(weight));
                }
            }
            let given = Inputs::recorded(shapes.clone(), device.clone());
            // Caught inside the scope, so that what was recorded until then can say where it happened.
            match catch_unwind(AssertUnwindSafe(|| forward(&module, &given))) {
                Err(payload) => panic = Some(panic_message(payload.as_ref())),
                Ok(declared) => {
                    for Output { name, tensor } in declared {
                        match tensor.capture_id() {
                            Ok(id) => outputs.push((name, id)),
                            Err(error) => {
                                failure = Some(format!("output `{name}` is not on the capture device: {error}"));
                            }
                        }
                    }
                }
            }
            input_ids = given.ids();
            // Inputs and parameters are placeholders, which Burn takes for results of their own.
            let given = |id: &TensorId| parameters.contains_key(id) || input_ids.values().any(|input| input == id);
            scope.complete([], outputs.iter().map(|(_, id)| *id).filter(|id| !given(id)))
        })
    }));
    let at: Vec<String> = symbols.iter().zip(sizes).map(|((name, _), size)| format!("{name} = {size}")).collect();
    let at = if at.is_empty() { "fixed sizes".to_owned() } else { at.join(", ") };
    let recorded = match recorded {
        Ok(recorded) => recorded,
        Err(payload) => {
            return Err(ExportError::Forward {
                sizes: at,
                place: "before its first operation".to_owned(),
                message: panic_message(payload.as_ref()),
            });
        }
    };
    if let Some(message) = panic {
        return Err(stopped(at, &message, recorded.ok().as_ref(), &parameters));
    }
    let captured = recorded.map_err(|error| ExportError::Capture(error.to_string()))?;
    if let Some(failure) = failure {
        return Err(ExportError::Boundary(failure));
    }
    if outputs.is_empty() {
        return Err(ExportError::Boundary("the forward declares no output".to_owned()));
    }
    let inputs = inputs
        .iter()
        .map(|i| {
            let (dtype, shape) = shapes[&i.name].clone();
            (i.name.clone(), dtype, shape, input_ids.get(&i.name).copied())
        })
        .collect();
    Ok(Trace { sizes: sizes.to_vec(), captured, inputs, outputs, parameters })
}

/// The elements of burn's data, little-endian, in the width that `dtype` has in a file.
pub(crate) fn bytes_of(data: &TensorData, dtype: DType) -> Vec<u8> {
    match dtype {
        DType::F32 => data.iter::<f32>().flat_map(f32::to_le_bytes).collect(),
        DType::F16 => data.iter::<f32>().flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect(),
        DType::I64 => data.iter::<i64>().flat_map(i64::to_le_bytes).collect(),
        DType::Bool => data.iter::<bool>().map(u8::from).collect(),
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Why and where the forward stopped. Values of a recorded tensor are not there to be read, and that is how a shape that
/// depends on data shows.
fn stopped(
    sizes: String,
    message: &str,
    recorded: Option<&CapturedGraph>,
    parameters: &BTreeMap<TensorId, Arc<Weight>>,
) -> ExportError {
    let recorded = recorded.map_or(&[][..], |captured| &captured.graph.operations);
    let computed: Vec<&OperationIr> = recorded.iter().filter(|operation| computes(operation)).collect();
    let read = |operation: &&OperationIr| operation.nodes().into_iter().rev().find_map(|t| parameters.get(&t.id));
    let near = computed.iter().rev().find_map(read).map_or("none", |weight| weight.name.as_str());
    let place = match computed.last() {
        Some(operation) => format!("after `{}` near parameter `{near}`", operation_name(operation)),
        None => "before its first operation".to_owned(),
    };
    if message.contains("has no concrete value") || message.contains("has no initialized value") {
        return ExportError::DataDependent { sizes, place };
    }
    ExportError::Forward { sizes, place, message: message.to_owned() }
}

/// Whether an operation is more than the placeholder of a parameter or an input.
fn computes(operation: &OperationIr) -> bool {
    use OperationIr::{BaseBool, BaseFloat, BaseInt, Drop, Init};
    match operation {
        Init(_) | Drop(_) => false,
        BaseFloat(op) | BaseInt(op) | BaseBool(op) => !matches!(op, BaseOperationIr::Empty(_)),
        _ => true,
    }
}
