//! What engines and sessions can be told, typed, and as the option strings that ONNX Runtime takes.
//!
//! Everything here is plain data: it is tested without a GPU.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::Source;
use super::profiles::{ShapeProfiles, TokenBuckets};
use crate::onnx::Graph;

/// How an engine is found.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// The ONNX Runtime library, or the folder it lies in. `None` looks in the usual places.
    pub onnxruntime: Option<PathBuf>,
}

/// How a graph is loaded.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Threads inside one operation. `None` leaves it to the engine: ONNX Runtime takes one per core, tract one. tract divides
    /// matrix products alone; over many requests it scales better by [`super::Session::fork`]s of one thread each.
    pub threads: Option<NonZeroUsize>,
    /// Whether a GPU engine may leave single operations to the CPU.
    pub cpu_nodes: CpuNodes,
    /// Record where operations run, for [`super::Session::placement`].
    pub record_placement: bool,
    /// For the `ort-` engines: bind inputs and outputs to the session, which copies them to the device ahead of the run,
    /// instead of passing them at the run.
    pub io_binding: bool,
    /// For `ort-cuda`, and for what TensorRT leaves to CUDA.
    pub cuda: CudaOptions,
    /// For `ort-tensorrt`.
    pub tensorrt: TensorrtOptions,
}

/// What happens to operations that a GPU provider has no kernel for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CpuNodes {
    /// Loading fails and names them: nothing computes on the CPU unnoticed. Arithmetic on sizes is no such operation; it
    /// belongs there.
    #[default]
    Refused,
    /// They run on the CPU, with copies to and fro.
    Allowed,
}

/// How the device memory arena grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArenaExtend {
    /// By powers of two: fewer allocations.
    NextPowerOfTwo,
    /// By what was asked for: a tighter bound, which serving several graphs on a GPU wants.
    #[default]
    SameAsRequested,
}

/// Options of the CUDA execution provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CudaOptions {
    /// Index of the GPU.
    pub device: u32,
    /// Bytes the arena may take; `None` for all the memory there is.
    pub memory_limit: Option<u64>,
    /// How the arena grows.
    pub arena_extend: ArenaExtend,
    /// Matrix products in TF32. Off by default: its 10-bit mantissa breaks the parity with Burn that the manifest records.
    pub tf32: bool,
    /// Record the launches of a shape once and replay them. For a server such as Triton, which keeps inputs of one
    /// shape at fixed addresses. Loading a [`super::Session`] with it is refused: each run passes other buffers, and a
    /// replay would read the first ones.
    pub cuda_graph: bool,
}

impl CudaOptions {
    /// The provider's option strings.
    pub fn to_options(&self) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        let mut set = |key: &str, value: String| options.insert(key.to_owned(), value);
        set("device_id", self.device.to_string());
        if let Some(bytes) = self.memory_limit {
            set("gpu_mem_limit", bytes.to_string());
        }
        let extend = match self.arena_extend {
            ArenaExtend::NextPowerOfTwo => "kNextPowerOfTwo",
            ArenaExtend::SameAsRequested => "kSameAsRequested",
        };
        set("arena_extend_strategy", extend.to_owned());
        set("use_tf32", flag(self.tf32));
        set("enable_cuda_graph", flag(self.cuda_graph));
        // Exhaustive search benchmarks every algorithm anew for every batch and text length.
        set("cudnn_conv_algo_search", "HEURISTIC".to_owned());
        options
    }
}

/// Options of the TensorRT execution provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TensorrtOptions {
    /// Index of the GPU.
    pub device: u32,
    /// Folder of built engines. Building one takes minutes; without a cache every start pays for it.
    pub engine_cache: Option<PathBuf>,
    /// Folder of measured kernel times, which make the next build faster.
    pub timing_cache: Option<PathBuf>,
    /// The batches that will come. A session's shape profiles are made of them and of the graph's inputs; without
    /// them TensorRT builds an engine anew for every new range of shapes.
    pub buckets: Option<TokenBuckets>,
    /// Let TensorRT choose half-precision kernels. LayerNorm stays in single precision.
    pub fp16: bool,
    /// Let TensorRT choose 8-bit kernels for a graph with QuantizeLinear/DequantizeLinear pairs.
    pub int8: bool,
    /// Folder with a calibration table `<graph>.table` for each float graph, by which TensorRT computes it in 8 bits. Never together
    /// with QuantizeLinear/DequantizeLinear pairs, which say the same.
    pub calibration_tables: Option<PathBuf>,
    /// Record the launches of a shape once and replay them; see [`CudaOptions::cuda_graph`].
    pub cuda_graph: bool,
    /// Bytes TensorRT may use while it runs; `None` for all the memory there is.
    pub workspace_limit: Option<u64>,
}

impl TensorrtOptions {
    /// The calibration table of a graph file, where a folder of them is set.
    ///
    /// # Errors
    /// If the table is not there, or the graph has quantization pairs already.
    pub fn calibration_table(&self, graph: &Path) -> Result<Option<PathBuf>, Source> {
        let Some(folder) = &self.calibration_tables else { return Ok(None) };
        let mut name = graph.file_stem().unwrap_or_default().to_owned();
        name.push(".table");
        // The provider looks for a relative path in its cache folder.
        let table = std::path::absolute(folder.join(name))?;
        if !table.is_file() {
            let missing = table.display();
            return Err(format!("{missing} is missing: make tables with `mbsd calibrate --method table`").into());
        }
        let quantizes = |op: &str| matches!(op, "QuantizeLinear" | "DequantizeLinear");
        if let Some(node) = Graph::read(graph)?.nodes.iter().find(|node| quantizes(&node.op)) {
            let message = format!(
                "node `{}` is a {}: a graph with quantization pairs has its ranges in it, leave the calibration tables out",
                node.name, node.op
            );
            return Err(message.into());
        }
        Ok(Some(table))
    }

    /// The provider's option strings for a graph with the given shape profiles and calibration table.
    pub fn to_options(&self, profiles: Option<&ShapeProfiles>, table: Option<&Path>) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        let mut set = |key: &str, value: String| {
            options.insert(key.to_owned(), value);
        };
        set("device_id", self.device.to_string());
        set("trt_fp16_enable", flag(self.fp16));
        if self.fp16 {
            set("trt_layer_norm_fp32_fallback", flag(true));
        }
        set("trt_int8_enable", flag(self.int8 || table.is_some()));
        if let Some(table) = table {
            set("trt_int8_calibration_table_name", table.display().to_string());
            set("trt_int8_use_native_calibration_table", flag(true));
        }
        set("trt_cuda_graph_enable", flag(self.cuda_graph));
        if let Some(bytes) = self.workspace_limit {
            set("trt_max_workspace_size", bytes.to_string());
        }
        if let Some(folder) = &self.engine_cache {
            set("trt_engine_cache_enable", flag(true));
            set("trt_engine_cache_path", folder.display().to_string());
        }
        if let Some(folder) = &self.timing_cache {
            set("trt_timing_cache_enable", flag(true));
            set("trt_timing_cache_path", folder.display().to_string());
        }
        if let Some(profiles) = profiles {
            options.extend(profiles.to_options());
        }
        options
    }
}

fn flag(on: bool) -> String {
    if on { "1" } else { "0" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(options: &BTreeMap<String, String>) -> String {
        options.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
    }

    #[test]
    fn cuda_options_as_onnxruntime_takes_them() {
        insta::assert_snapshot!(text(&CudaOptions::default().to_options()), @r"
        arena_extend_strategy=kSameAsRequested
        cudnn_conv_algo_search=HEURISTIC
        device_id=0
        enable_cuda_graph=0
        use_tf32=0
        ");
        let all = CudaOptions {
            device: 3,
            memory_limit: Some(4 << 30),
            arena_extend: ArenaExtend::NextPowerOfTwo,
            tf32: true,
            cuda_graph: true,
        };
        insta::assert_snapshot!(text(&all.to_options()), @r"
        arena_extend_strategy=kNextPowerOfTwo
        cudnn_conv_algo_search=HEURISTIC
        device_id=3
        enable_cuda_graph=1
        gpu_mem_limit=4294967296
        use_tf32=1
        ");
    }

    #[test]
    fn tensorrt_options_as_onnxruntime_takes_them() {
        insta::assert_snapshot!(text(&TensorrtOptions::default().to_options(None, None)), @r"
        device_id=0
        trt_cuda_graph_enable=0
        trt_fp16_enable=0
        trt_int8_enable=0
        ");
        let all = TensorrtOptions {
            device: 1,
            engine_cache: Some("cache/engines".into()),
            timing_cache: Some("cache/timing".into()),
            buckets: None,
            fp16: true,
            int8: false,
            calibration_tables: Some("tables".into()),
            cuda_graph: true,
            workspace_limit: Some(1 << 30),
        };
        insta::assert_snapshot!(text(&all.to_options(None, Some(Path::new("/tables/full.table")))), @r"
        device_id=1
        trt_cuda_graph_enable=1
        trt_engine_cache_enable=1
        trt_engine_cache_path=cache/engines
        trt_fp16_enable=1
        trt_int8_calibration_table_name=/tables/full.table
        trt_int8_enable=1
        trt_int8_use_native_calibration_table=1
        trt_layer_norm_fp32_fallback=1
        trt_max_workspace_size=1073741824
        trt_timing_cache_enable=1
        trt_timing_cache_path=cache/timing
        ");
    }

    #[test]
    fn a_calibration_table_goes_with_its_graph_alone() {
        let folder = tempfile::tempdir().unwrap();
        let graph = folder.path().join("full.onnx");
        let options =
            TensorrtOptions { calibration_tables: Some(folder.path().join("tables")), ..TensorrtOptions::default() };
        assert_eq!(TensorrtOptions::default().calibration_table(&graph).unwrap(), None);
        let error = options.calibration_table(&graph).unwrap_err().to_string();
        assert!(error.contains("full.table is missing") && error.contains("--method table"), "{error}");

        std::fs::create_dir(folder.path().join("tables")).unwrap();
        let table = folder.path().join("tables/full.table");
        std::fs::write(&table, "TRT-101401-EntropyCalibration2\n").unwrap();
        let write = |op: &str| {
            use prost::Message;
            use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};
            let node = NodeProto { name: "a".to_owned(), op_type: op.to_owned(), ..NodeProto::default() };
            let nodes = GraphProto { node: vec![node], ..GraphProto::default() };
            let model = ModelProto { graph: Some(nodes), ..ModelProto::default() };
            std::fs::write(&graph, model.encode_to_vec()).unwrap();
        };
        write("MatMul");
        assert_eq!(options.calibration_table(&graph).unwrap(), Some(table));
        write("DequantizeLinear");
        let error = options.calibration_table(&graph).unwrap_err().to_string();
        assert!(error.starts_with("node `a` is a DequantizeLinear"), "{error}");
    }
}
