//! ONNX Runtime, through a library loaded at run time; on the CPU, CUDA or TensorRT.
//!
//! `ort` registers execution providers without complaint when they cannot be had. Here that is an error, as is a
//! single operation that would run on the CPU unasked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::ort::environment::Environment;
use ::ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProvider, ExecutionProviderDispatch};
use ::ort::memory::MemoryInfo;
use ::ort::session::builder::{AutoDevicePolicy, SessionBuilder};
use ::ort::session::{IoBinding, Session as OrtSession, SessionInputValue, SessionOutputs};
use ::ort::value::{DynValue, Outlet, Tensor as OrtTensor, TensorElementType, TensorRef, ValueType};
use mbsd_spec::bundle::{DimSpec, TensorSpec};
use mbsd_spec::{NamedTensors, Tensor};

use super::library::{self, RuntimeLibrary};
use super::{
    CpuNodes, Engine, EngineError, EngineKind, EngineOptions, Session, SessionOptions, ShapeProfiles, Source, check,
    guard, placement,
};
use crate::onnx::Graph;

#[derive(Clone)]
pub(super) struct OrtEngine {
    kind: EngineKind,
    library: RuntimeLibrary,
    environment: Environment,
}

/// An execution provider that the library cannot offer.
#[derive(Debug, thiserror::Error)]
enum ProviderError {
    #[error(
        "{} (ONNX Runtime {version}) was built without {provider}: {file} is missing; take the library of the \
         onnxruntime-gpu package, with {needs}",
        library.display()
    )]
    NotBuilt { library: PathBuf, version: String, provider: &'static str, file: &'static str, needs: &'static str },
    #[error("{provider} does not start{}; it needs {file} beside {}, and {needs}", missing(reason), library.display())]
    Register { library: PathBuf, provider: &'static str, file: &'static str, needs: &'static str, reason: String },
}

impl OrtEngine {
    pub(super) fn open(kind: EngineKind, options: &EngineOptions) -> Result<Self, EngineError> {
        let (library, environment) = library::environment(options.onnxruntime.as_deref())
            .map_err(|source| EngineError::unavailable(kind, source))?;
        let engine = Self { kind, library, environment };
        guard::catch(|| {
            // Registered once for the error alone: it says what is missing before any graph is read.
            let builder = OrtSession::builder(&engine.environment)?;
            engine.register(builder, &SessionOptions::default(), None, None).map(drop)
        })
        .map_err(|source| EngineError::unavailable(kind, source))?;
        Ok(engine)
    }

    /// Registers the engine's execution providers, in the order of preference.
    fn register(
        &self,
        mut builder: SessionBuilder,
        options: &SessionOptions,
        profiles: Option<&ShapeProfiles>,
        table: Option<&Path>,
    ) -> Result<SessionBuilder, Source> {
        if self.kind == EngineKind::OrtTensorrt {
            let tensorrt = configured(ep::TensorRT::default(), options.tensorrt.to_options(profiles, table));
            let (file, needs) = ("libonnxruntime_providers_tensorrt.so", "TensorRT 10, CUDA 13 and cuDNN 9");
            builder = self.provide(builder, tensorrt, "TensorRT", file, needs)?;
        }
        if matches!(self.kind, EngineKind::OrtCuda | EngineKind::OrtTensorrt) {
            let cuda = configured(ep::CUDA::default(), options.cuda.to_options());
            let (file, needs) = ("libonnxruntime_providers_cuda.so", "CUDA 13 and cuDNN 9");
            builder = self.provide(builder, cuda, "CUDA", file, needs)?;
        }
        Ok(builder)
    }

    fn provide<P>(
        &self,
        builder: SessionBuilder,
        provider: P,
        name: &'static str,
        file: &'static str,
        needs: &'static str,
    ) -> Result<SessionBuilder, Source>
    where
        P: ExecutionProvider + Into<ExecutionProviderDispatch>,
    {
        let library = self.library.path.clone();
        if !P::is_available()? {
            let version = self.library.version.clone();
            return Err(ProviderError::NotBuilt { library, version, provider: name, file, needs }.into());
        }
        builder.with_execution_providers([provider.into().error_on_failure()]).map_err(|error| {
            ProviderError::Register { library, provider: name, file, needs, reason: error.message().trim().to_owned() }
                .into()
        })
    }

    fn session(&self, graph: &Path, options: &SessionOptions) -> Result<OrtSession, Source> {
        let on_gpu = self.kind != EngineKind::OrtCpu;
        if on_gpu && (options.cuda.cuda_graph || options.tensorrt.cuda_graph) {
            return Err(
                "CUDA graphs need inputs at fixed addresses, which a session here does not keep; turn them off".into(),
            );
        }
        let builder = OrtSession::builder(&self.environment)?;
        let builder = plain(builder.with_auto_device(AutoDevicePolicy::PreferCPU))?;
        let profiles = match &options.tensorrt.buckets {
            Some(buckets) if self.kind == EngineKind::OrtTensorrt => {
                Some(ShapeProfiles::new(&Graph::read(graph)?.inputs, &buckets.extents()?)?)
            }
            _ => None,
        };
        let table = match self.kind {
            EngineKind::OrtTensorrt => options.tensorrt.calibration_table(graph)?,
            _ => None,
        };
        let mut builder = self.register(builder, options, profiles.as_ref(), table.as_deref())?;
        if !on_gpu {
            // A pattern of memory is kept for every shape of inputs that ever came, and catalogues have hundreds of them.
            builder = plain(builder.with_memory_pattern(false))?;
        }
        if let Some(threads) = options.threads {
            builder = plain(builder.with_intra_threads(threads.get()))?;
        }
        if !on_gpu && byte_products_overflow() {
            // ONNX Runtime then takes another kernel, of half the speed, which is why it is not asked to elsewhere.
            builder = plain(builder.with_config_entry("session.x64quantprecision", "1"))?;
        }
        let strict = on_gpu && options.cpu_nodes == CpuNodes::Refused;
        if strict || options.record_placement {
            builder = plain(builder.with_config_entry(placement::RECORD, "1"))?;
        }
        let session = builder.commit_from_file(graph)?;
        match if strict { placement::computed_on_cpu(&placement::of(&session)?) } else { None } {
            Some(nodes) => {
                Err(format!("the GPU has no kernel for {nodes}; let them run on the CPU with --cpu-nodes").into())
            }
            None => Ok(session),
        }
    }
}

/// `: libcublasLt.so.13 is missing`, where that is what the loader says; else all that it says.
fn missing(reason: &str) -> String {
    let absent =
        reason.split_once(": cannot open shared object file").and_then(|(before, _)| before.rsplit(' ').next());
    match absent {
        Some(file) => format!(": {file} is missing"),
        None => format!(" ({reason})"),
    }
}

/// Whether ONNX Runtime's products of unsigned and signed bytes are added up in 16 bits on this machine, which overflow: on x86
/// without VNNI.
fn byte_products_overflow() -> bool {
    #[cfg(target_arch = "x86_64")]
    let overflow = !std::is_x86_feature_detected!("avx512vnni") && !std::is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    let overflow = false;
    overflow
}

/// The error alone: the builder that `ort` hands back with it cannot cross threads.
fn plain(built: ::ort::session::builder::BuilderResult) -> ::ort::Result<SessionBuilder> {
    built.map_err(Into::into)
}

fn configured<P: ArbitrarilyConfigurableExecutionProvider>(provider: P, options: BTreeMap<String, String>) -> P {
    options.into_iter().fold(provider, |provider, (key, value)| provider.with_arbitrary_config(key, value))
}

impl Engine for OrtEngine {
    fn kind(&self) -> EngineKind {
        self.kind
    }

    fn version(&self) -> String {
        self.library.version.clone()
    }

    fn library(&self) -> Option<&RuntimeLibrary> {
        Some(&self.library)
    }

    fn load(&self, graph: &Path, options: &SessionOptions) -> Result<Box<dyn Session>, EngineError> {
        let session = guard::catch(|| {
            let session = self.session(graph, options)?;
            let mut placement = BTreeMap::new();
            if options.record_placement {
                for node in placement::of(&session)? {
                    *placement.entry(node.provider).or_default() += 1;
                }
            }
            let specs = |outlets: &[Outlet]| outlets.iter().map(spec).collect::<Result<Vec<_>, Source>>();
            Ok(OrtWorker {
                inputs: specs(session.inputs())?,
                outputs: specs(session.outputs())?,
                session,
                placement,
                engine: self.clone(),
                path: graph.to_owned(),
                options: options.clone(),
            })
        });
        match session {
            Ok(session) => Ok(Box::new(session)),
            Err(source) => Err(EngineError::Graph { engine: self.kind, path: graph.to_owned(), source }),
        }
    }
}

/// Name, type and shape of a graph input or output.
fn spec(outlet: &Outlet) -> Result<TensorSpec, Source> {
    let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
        return Err(format!("`{}` is not a tensor", outlet.name()).into());
    };
    let dim = |(axis, &extent): (usize, &i64)| match usize::try_from(extent) {
        Ok(extent) => DimSpec::Fixed(extent),
        Err(_) => DimSpec::Symbol(match dimension_symbols.get(axis) {
            Some(symbol) if !symbol.is_empty() => symbol.clone(),
            _ => check::ANONYMOUS.to_owned(),
        }),
    };
    Ok(TensorSpec {
        name: outlet.name().to_owned(),
        dtype: dtype(*ty).to_owned(),
        shape: shape.iter().enumerate().map(dim).collect(),
    })
}

/// The type's name in manifests.
fn dtype(kind: TensorElementType) -> &'static str {
    match kind {
        TensorElementType::Float32 => "float32",
        TensorElementType::Float64 => "float64",
        TensorElementType::Float16 => "float16",
        TensorElementType::Bfloat16 => "bfloat16",
        TensorElementType::Int64 => "int64",
        TensorElementType::Int32 => "int32",
        TensorElementType::Int8 => "int8",
        TensorElementType::Uint8 => "uint8",
        TensorElementType::Bool => "bool",
        _ => "other",
    }
}

struct OrtWorker {
    session: OrtSession,
    placement: BTreeMap<String, usize>,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    engine: OrtEngine,
    path: PathBuf,
    options: SessionOptions,
}

impl Session for OrtWorker {
    fn run(&mut self, inputs: &NamedTensors) -> Result<NamedTensors, EngineError> {
        check::check(&self.inputs, inputs)?;
        let bind = self.options.io_binding;
        let (session, specs, outputs) = (&mut self.session, &self.inputs, &self.outputs);
        guard::catch(|| {
            if !bind {
                let values = specs.iter().map(|spec| value(spec, &inputs[&spec.name]));
                let values = values.collect::<::ort::Result<Vec<_>>>()?;
                return named(&session.run(values.as_slice())?);
            }
            let mut binding = session.create_binding()?;
            for spec in specs {
                bind_input(&mut binding, spec, &inputs[&spec.name])?;
            }
            let host = MemoryInfo::default();
            for spec in outputs {
                binding.bind_output_to_device(&spec.name, &host)?;
            }
            named(&session.run_binding(&binding)?)
        })
        .map_err(|source| EngineError::Run {
            engine: self.engine.kind,
            graph: self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            source,
        })
    }

    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn placement(&self) -> BTreeMap<String, usize> {
        self.placement.clone()
    }

    fn fork(&self) -> Result<Box<dyn Session>, EngineError> {
        self.engine.load(&self.path, &self.options)
    }
}

/// A tensor as ONNX Runtime takes it, in the type of the graph's input. The values were found to fit.
fn value<'t>(spec: &TensorSpec, tensor: &'t Tensor) -> ::ort::Result<SessionInputValue<'t>> {
    Ok(match tensor {
        Tensor::F32 { shape, data } => TensorRef::from_array_view((shape.as_slice(), data.as_slice()))?.into(),
        Tensor::I64 { shape, data } => match spec.dtype.as_str() {
            "bool" => cast(shape, data, |v| v != 0)?.into(),
            "int32" => cast(shape, data, |v| v as i32)?.into(),
            "uint8" => cast(shape, data, |v| v as u8)?.into(),
            _ => TensorRef::from_array_view((shape.as_slice(), data.as_slice()))?.into(),
        },
    })
}

/// Binds a copy of the tensor: `ort` copies a borrowed one itself, through a session of its own that never returns
/// when it is used beside ours.
fn bind_input(binding: &mut IoBinding, spec: &TensorSpec, tensor: &Tensor) -> ::ort::Result<()> {
    let name = &spec.name;
    match tensor {
        Tensor::F32 { shape, data } => binding.bind_input(name, &OrtTensor::from_array((shape.clone(), data.clone()))?),
        Tensor::I64 { shape, data } => match spec.dtype.as_str() {
            "bool" => binding.bind_input(name, &cast(shape, data, |v| v != 0)?),
            "int32" => binding.bind_input(name, &cast(shape, data, |v| v as i32)?),
            "uint8" => binding.bind_input(name, &cast(shape, data, |v| v as u8)?),
            _ => binding.bind_input(name, &cast(shape, data, |v| v)?),
        },
    }
}

fn cast<T>(shape: &[usize], data: &[i64], to: impl Fn(i64) -> T) -> ::ort::Result<OrtTensor<T>>
where
    T: ::ort::value::PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    OrtTensor::from_array((shape.to_vec(), data.iter().map(|&v| to(v)).collect::<Vec<T>>()))
}

fn named(outputs: &SessionOutputs<'_>) -> Result<NamedTensors, Source> {
    outputs.iter().map(|(name, value)| Ok((name.to_owned(), tensor(name, &value)?))).collect()
}

/// A tensor as the rest of the program takes it: floats as float32, integers and bools as int64.
fn tensor(name: &str, value: &DynValue) -> Result<Tensor, Source> {
    fn i64s<T: Copy + Into<i64> + ::ort::value::PrimitiveTensorElementType>(
        value: &DynValue,
    ) -> Result<Tensor, Source> {
        let (shape, data) = value.try_extract_tensor::<T>()?;
        Ok(Tensor::i64(extents(shape)?, data.iter().map(|&v| v.into()).collect())?)
    }
    match value.dtype().tensor_type() {
        Some(TensorElementType::Float32) => {
            let (shape, data) = value.try_extract_tensor::<f32>()?;
            Ok(Tensor::f32(extents(shape)?, data.to_vec())?)
        }
        Some(TensorElementType::Float64) => {
            let (shape, data) = value.try_extract_tensor::<f64>()?;
            Ok(Tensor::f32(extents(shape)?, data.iter().map(|&v| v as f32).collect())?)
        }
        Some(TensorElementType::Int64) => i64s::<i64>(value),
        Some(TensorElementType::Int32) => i64s::<i32>(value),
        Some(TensorElementType::Uint8) => i64s::<u8>(value),
        Some(TensorElementType::Int8) => i64s::<i8>(value),
        Some(TensorElementType::Bool) => i64s::<bool>(value),
        other => {
            let kind = other.map_or("no tensor", dtype);
            Err(format!("output `{name}` is of type {kind}, which this runtime does not read").into())
        }
    }
}

fn extents(shape: &[i64]) -> Result<Vec<usize>, Source> {
    shape.iter().map(|&extent| Ok(usize::try_from(extent)?)).collect()
}

#[cfg(test)]
mod tests {
    use mbsd_spec::bundle::DimSpec;
    use prost::Message;
    use tract_onnx::pb;

    use super::*;

    /// `y = -x`, as a file.
    fn negation() -> Vec<u8> {
        let value = |name: &str| {
            let tensor = pb::type_proto::Tensor {
                elem_type: 1,
                shape: Some(pb::TensorShapeProto { dim: vec![pb::tensor_shape_proto::Dimension::default()] }),
            };
            let kind = pb::type_proto::Value::TensorType(tensor);
            let kind = pb::TypeProto { value: Some(kind), ..pb::TypeProto::default() };
            pb::ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..pb::ValueInfoProto::default() }
        };
        let node = pb::NodeProto {
            name: "negate".to_owned(),
            op_type: "Neg".to_owned(),
            input: vec!["x".to_owned()],
            output: vec!["y".to_owned()],
            ..pb::NodeProto::default()
        };
        let graph = pb::GraphProto {
            name: "negation".to_owned(),
            node: vec![node],
            input: vec![value("x")],
            output: vec![value("y")],
            ..pb::GraphProto::default()
        };
        let opset_import = vec![pb::OperatorSetIdProto { domain: String::new(), version: 17 }];
        let model = pb::ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..pb::ModelProto::default() };
        model.encode_to_vec()
    }

    #[test]
    fn an_operation_on_the_cpu_is_seen() {
        let engine = match OrtEngine::open(EngineKind::OrtCpu, &EngineOptions::default()) {
            Ok(engine) => engine,
            Err(error) => return eprintln!("SKIPPED an_operation_on_the_cpu_is_seen: {error:?}"),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("negation.onnx");
        std::fs::write(&path, negation()).unwrap();
        let builder = OrtSession::builder(&engine.environment).unwrap();
        let mut builder = plain(builder.with_config_entry(placement::RECORD, "1")).unwrap();
        let session = builder.commit_from_file(&path).unwrap();
        let nodes = placement::of(&session).unwrap();
        assert_eq!(placement::computed_on_cpu(&nodes).as_deref(), Some("1 Neg (`negate`)"));
        let spec = spec(&session.inputs()[0]).unwrap();
        assert_eq!(spec.shape, [DimSpec::Symbol(check::ANONYMOUS.to_owned())]);
    }

    #[test]
    fn the_missing_library_is_named() {
        let reason = "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& \
                      onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library \
                      /opt/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object \
                      file: No such file or directory";
        assert_eq!(missing(reason), ": libcublasLt.so.13 is missing");
        assert_eq!(missing("CUDA failure 100: no CUDA device"), " (CUDA failure 100: no CUDA device)");
    }
}
