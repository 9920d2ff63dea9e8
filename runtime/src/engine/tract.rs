//! tract: symbolic axes are kept as they are in the file, the optimised plan is shared between sessions.

mod fused;
mod session;
mod signed;
mod single;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use mbsd_spec::bundle::{DimSpec, TensorSpec};
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

use super::{Engine, EngineError, EngineKind, Session, SessionOptions, Source, check, guard};
use session::TractSession;

/// The version of the tract crates, pinned in the workspace.
const VERSION: &str = "0.23.9";

type Plan = TypedRunnableModel;

pub(super) struct TractEngine;

impl Engine for TractEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Tract
    }

    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn load(&self, graph: &Path, options: &SessionOptions) -> Result<Box<dyn Session>, EngineError> {
        let loaded = guard::catch(|| load(graph)).map_err(|source| EngineError::Graph {
            engine: EngineKind::Tract,
            path: graph.to_owned(),
            source,
        })?;
        Ok(Box::new(TractSession::new(loaded, options.threads.map_or(1, NonZeroUsize::get))))
    }
}

/// What sessions over one file share.
struct Loaded {
    name: String,
    plan: Arc<Plan>,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    /// The input whose first extent is the number of rows, where rows are computed apart.
    rows: Option<String>,
}

/// With operators of our own where the graph has their patterns; a graph whose shapes then turn out to be others is taken as it is.
fn load(path: &Path) -> Result<Loaded, Source> {
    read(path, true).or_else(|_| read(path, false))
}

fn read(path: &Path, fuse: bool) -> Result<Loaded, Source> {
    let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
    fused::register(&mut onnx);
    let mut proto = onnx.proto_model_for_path(path)?;
    signed::sign_activations(&mut proto);
    single::widen(&mut proto);
    if fuse {
        fused::fuse(&mut proto);
    }
    let graph = proto.graph.as_ref().ok_or("the file holds no ONNX graph")?;
    let inner: Vec<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs = graph
        .input
        .iter()
        .filter(|input| !inner.contains(&input.name.as_str()))
        .map(spec)
        .collect::<Result<Vec<_>, Source>>()?;
    let outputs = graph.output.iter().map(spec).collect::<Result<Vec<_>, Source>>()?;
    if outputs.is_empty() {
        return Err("the graph has no output".into());
    }
    let folder = path.parent().and_then(Path::to_str);
    let parsed = onnx.parse(&proto, folder)?;
    if let Some(name) = parsed.unresolved_inputs.first() {
        return Err(format!("nothing in the graph computes `{name}`").into());
    }
    drop(proto);
    let plan = parsed.model.into_typed()?.into_optimized()?.into_runnable()?;
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let rows = session::rows(&inputs, &outputs);
    Ok(Loaded { name, plan, inputs, outputs, rows })
}

/// See [`super::inferred_shapes`].
pub(super) fn shapes(path: &Path) -> Result<Vec<TensorSpec>, EngineError> {
    let infer = || -> Result<Vec<TensorSpec>, Source> {
        let onnx = tract_onnx::onnx().with_ignore_value_info(true);
        let mut model = onnx.model_for_path(path)?;
        model.analyse(true)?;
        let mut specs = Vec::new();
        for node in model.nodes() {
            for (slot, output) in node.outputs.iter().enumerate() {
                let Some(name) = model.outlet_label(OutletId::new(node.id, slot)) else { continue };
                let Some(dims) = output.fact.shape.concretize() else { continue };
                let dim = |dim: &TDim| dim.to_usize().map_or_else(|_| DimSpec::Symbol(dim.to_string()), DimSpec::Fixed);
                let dtype = output.fact.datum_type.concretize().map_or("other", dtype_name);
                specs.push(TensorSpec {
                    name: name.to_owned(),
                    dtype: dtype.to_owned(),
                    shape: dims.iter().map(dim).collect(),
                });
            }
        }
        Ok(specs)
    };
    guard::catch(infer).map_err(|source| EngineError::Graph {
        engine: EngineKind::Tract,
        path: path.to_owned(),
        source,
    })
}

/// The type's name in manifests. tract computes with sizes in a type of its own.
fn dtype_name(dtype: DatumType) -> &'static str {
    match dtype {
        DatumType::F32 => "float32",
        DatumType::F16 => "float16",
        DatumType::F64 => "float64",
        DatumType::I64 | DatumType::TDim => "int64",
        DatumType::I32 => "int32",
        DatumType::I8 => "int8",
        DatumType::U8 => "uint8",
        DatumType::Bool => "bool",
        _ => "other",
    }
}

/// Name, type and shape of a graph input or output.
fn spec(info: &pb::ValueInfoProto) -> Result<TensorSpec, Source> {
    let untyped = || format!("`{}` has no tensor type", info.name);
    let Some(pb::type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return Err(untyped().into());
    };
    let dtype = crate::onnx::dtype_name(tensor.elem_type).to_owned();
    let dims = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    let dim = |dim: &pb::tensor_shape_proto::Dimension| match &dim.value {
        Some(pb::tensor_shape_proto::dimension::Value::DimValue(extent)) => {
            usize::try_from(*extent).map_or_else(|_| DimSpec::Symbol(check::ANONYMOUS.to_owned()), DimSpec::Fixed)
        }
        Some(pb::tensor_shape_proto::dimension::Value::DimParam(symbol)) if !symbol.is_empty() => {
            DimSpec::Symbol(symbol.clone())
        }
        _ => DimSpec::Symbol(check::ANONYMOUS.to_owned()),
    };
    Ok(TensorSpec { name: info.name.clone(), dtype, shape: dims.iter().map(dim).collect() })
}
