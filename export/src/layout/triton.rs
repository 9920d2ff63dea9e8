//! A model repository of Triton Inference Server: a folder a graph, with its `config.pbtxt`, and a client beside the repository.
//!
//! Triton loads every folder of the repository as a model, so that nothing else may lie in it.

use std::fmt::Write;

use anyhow::{Context, bail};
use mbsd_runtime::engine::{ShapeProfiles, SymbolExtents, TokenBuckets};
use mbsd_spec::bundle::{Artifact, DimSpec, StagedFolder, TensorSpec, names};
use mbsd_spec::{Bundle, Precision, Task, Variant};

use super::{LayoutOptions, PRODUCTS_CLIENT};

/// The client that asks a server.
const CLIENT: (&str, &str) = ("mbsd_triton.py", include_str!("../../../integrations/mbsd_triton.py"));

/// The repository, inside the layout.
const REPOSITORY: &str = "models";

/// Rows of a batch at most.
const MAX_BATCH: usize = 32;

/// Batches the dynamic batcher sends at once rather than wait for more.
const PREFERRED_BATCHES: [usize; 4] = [4, 8, 16, MAX_BATCH];

/// How long a row waits for others, in microseconds: below what one row takes on a CPU.
const MAX_DELAY: u32 = 2000;

/// Tokens of the batch that TensorRT tunes for.
const TOKEN_BUDGET: usize = 2048;

/// GPU memory that TensorRT may use while it runs.
const WORKSPACE: u64 = 1 << 30;

/// The axis that Triton batches over, first in every tensor.
const BATCH: &str = "batch";

pub(super) fn write(bundle: &Bundle, options: LayoutOptions, folder: &StagedFolder) -> anyhow::Result<()> {
    let artifacts = &bundle.manifest().artifacts;
    let models: Vec<String> = artifacts.iter().map(|artifact| model(bundle.task(), artifact)).collect();
    let tokenizer = super::tokenizer(bundle)?;
    for (artifact, model) in artifacts.iter().zip(&models) {
        let text = config(bundle, artifact, model, options.tensorrt)
            .with_context(|| format!("cannot describe {} to Triton", artifact.path))?;
        folder.write(&format!("{REPOSITORY}/{model}/config.pbtxt"), text)?;
        super::place_graph(bundle, artifact, options, &folder.place(&format!("{REPOSITORY}/{model}/1/model.onnx"))?)?;
    }
    super::copy(&tokenizer, folder, &format!("client/{}", names::TOKENIZER))?;
    folder.write(&format!("client/{}", names::CONFIG), super::config(bundle, &models)?)?;
    folder.write(&format!("client/{}", names::PREPROCESSOR), super::preprocessor(bundle)?)?;
    for (name, text) in [PRODUCTS_CLIENT, CLIENT] {
        folder.write(&format!("client/{name}"), text)?;
    }
    folder.write("README.md", readme(bundle, &models, options.tensorrt))?;
    Ok(())
}

fn model(task: Task, artifact: &Artifact) -> String {
    format!("mbsd_{task}_{}{}", artifact.variant, artifact.precision.file_suffix())
}

/// The `config.pbtxt` of a graph.
fn config(bundle: &Bundle, artifact: &Artifact, model: &str, tensorrt: bool) -> anyhow::Result<String> {
    let buckets = buckets(bundle, artifact.variant);
    let extents = buckets.extents()?;
    let mut text = format!("name: \"{model}\"\nbackend: \"onnxruntime\"\nmax_batch_size: {MAX_BATCH}\n");
    for (field, specs) in [("input", &artifact.inputs), ("output", &artifact.outputs)] {
        for spec in specs {
            text += &tensor(field, spec)?;
        }
    }
    let preferred = PREFERRED_BATCHES.map(|size| size.to_string()).join(", ");
    write!(
        text,
        "dynamic_batching {{\n  preferred_batch_size: [ {preferred} ]\n  max_queue_delay_microseconds: {MAX_DELAY}\n}}\n\
         instance_group [\n  {{\n    count: 1\n    kind: KIND_AUTO\n  }}\n]\n\
         version_policy: {{ latest {{ num_versions: 1 }} }}\n"
    )?;
    if tensorrt {
        text += &accelerator(artifact, model, &extents)?;
    }
    for rows in [1, MAX_BATCH] {
        text += &warm_up(artifact, rows, &extents)?;
    }
    Ok(text)
}

/// The text lengths that clients pad to: Triton puts rows of one shape together only.
fn buckets(bundle: &Bundle, variant: Variant) -> TokenBuckets {
    let image_tokens = match variant {
        Variant::Full | Variant::Image => bundle.config().image_tokens(),
        _ => 0,
    };
    TokenBuckets::doubling(bundle.manifest().max_text_tokens, TOKEN_BUDGET, image_tokens, MAX_BATCH)
}

fn tensor(field: &str, spec: &TensorSpec) -> anyhow::Result<String> {
    let dims: Vec<String> = row(spec)?
        .iter()
        .map(|dim| match dim {
            DimSpec::Fixed(extent) => extent.to_string(),
            DimSpec::Symbol(_) => "-1".to_owned(),
        })
        .collect();
    // A number a row: dims may not be empty, and the graph's own shape is given as a reshape.
    let (dims, reshape) =
        if dims.is_empty() { ("1".to_owned(), "\n    reshape: { shape: [ ] }") } else { (dims.join(", "), "") };
    let (name, dtype) = (&spec.name, dtype(spec)?);
    Ok(format!(
        "{field} [\n  {{\n    name: \"{name}\"\n    data_type: {dtype}\n    dims: [ {dims} ]{reshape}\n  }}\n]\n"
    ))
}

/// The shape of one row.
fn row(spec: &TensorSpec) -> anyhow::Result<&[DimSpec]> {
    match spec.shape.split_first() {
        Some((DimSpec::Symbol(first), row)) if first == BATCH => Ok(row),
        _ => bail!("the first axis of `{}` is not `{BATCH}`, so Triton cannot batch it", spec.name),
    }
}

fn dtype(spec: &TensorSpec) -> anyhow::Result<&'static str> {
    match spec.dtype.as_str() {
        "float32" => Ok("TYPE_FP32"),
        "int64" => Ok("TYPE_INT64"),
        other => bail!("`{}` is of type {other}, which no graph here takes or gives", spec.name),
    }
}

fn accelerator(artifact: &Artifact, model: &str, extents: &SymbolExtents) -> anyhow::Result<String> {
    let precision = match artifact.precision {
        Precision::F32 | Precision::W8 | Precision::Int8 => "FP32",
        Precision::F16 => "FP16",
        Precision::Qdq => "INT8",
    };
    let cache = format!("/tmp/tensorrt_{model}");
    let mut options = vec![
        ("precision_mode".to_owned(), precision.to_owned()),
        ("max_workspace_size_bytes".to_owned(), WORKSPACE.to_string()),
        ("trt_engine_cache_enable".to_owned(), "1".to_owned()),
        ("trt_engine_cache_path".to_owned(), cache.clone()),
        ("trt_timing_cache_enable".to_owned(), "1".to_owned()),
        ("trt_timing_cache_path".to_owned(), cache),
    ];
    if precision == "FP16" {
        options.push(("trt_layer_norm_fp32_fallback".to_owned(), "1".to_owned()));
    }
    options.extend(ShapeProfiles::new(&artifact.inputs, extents)?.to_options());
    let mut text =
        "optimization {\n  execution_accelerators {\n    gpu_execution_accelerator [\n      {\n        name: \"tensorrt\"\n".to_owned();
    for (key, value) in options {
        writeln!(text, "        parameters {{ key: \"{key}\" value: \"{value}\" }}")?;
    }
    Ok(text + "      }\n    ]\n  }\n}\n")
}

/// A batch of zeros before the first request: allocations and kernels are ready then.
fn warm_up(artifact: &Artifact, rows: usize, extents: &SymbolExtents) -> anyhow::Result<String> {
    let mut text = format!("model_warmup [\n  {{\n    name: \"batch of {rows}\"\n    batch_size: {rows}\n");
    for spec in &artifact.inputs {
        let dims = row(spec)?
            .iter()
            .map(|dim| match dim {
                DimSpec::Fixed(extent) => Ok(extent.to_string()),
                DimSpec::Symbol(symbol) => extents
                    .get(symbol)
                    .map(|extent| extent.opt.to_string())
                    .with_context(|| format!("`{}` has an axis `{symbol}` that nothing is known of", spec.name)),
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        writeln!(
            text,
            "    inputs {{\n      key: \"{}\"\n      value: {{\n        data_type: {}\n        dims: [ {} ]\n        \
             zero_data: true\n      }}\n    }}",
            spec.name,
            dtype(spec)?,
            dims.join(", ")
        )?;
    }
    Ok(text + "  }\n]\n")
}

fn readme(bundle: &Bundle, models: &[String], tensorrt: bool) -> String {
    let manifest = bundle.manifest();
    let call = match manifest.task {
        Task::Match => "--input products.jsonl --tags tags.txt --output scores.jsonl",
        Task::Classification => "--input products.jsonl --output classes.jsonl",
        Task::Alignment => "--input products.jsonl --pairs pairs.jsonl --output scores.jsonl",
    };
    let lengths = buckets(bundle, Variant::Text).text.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let gpu = if tensorrt {
        "On a GPU, TensorRT runs the graphs for the shapes in `trt_profile_*_shapes`. It builds an engine at the first start, which \
         takes minutes, and keeps it in `trt_engine_cache_path`: put a volume there.\n\n"
    } else {
        "On a GPU, ONNX Runtime's CUDA provider runs the graphs. `mbsd export --tensorrt` writes configurations for TensorRT.\n\n"
    };
    format!(
        "# MBSD on Triton Inference Server, {task}\n\n\
         ```sh\n\
         docker run --rm -p 8000:8000 -v $PWD/models:/models nvcr.io/nvidia/tritonserver:RELEASE-py3 \\\n    \
         tritonserver --model-repository=/models\n\
         pip install tokenizers pillow numpy\n\
         python client/mbsd_triton.py --url http://localhost:8000 {call}\n\
         ```\n\n\
         RELEASE is a release of Triton, with `--gpus all` before it where there are GPUs. \
         {gpu}\
         ## Models\n\n{table}\n\
         ## Requests\n\n\
         The server takes tensors; the client makes them of products (`client/mbsd_products.py`: tokens and pixels, the same as \
         `mbsd` makes) and speaks the HTTP v2 protocol with binary tensors. Triton puts rows of one shape together, so pad \
         `text` to one of {lengths} tokens, as the client does. `logits` is `[rows, 1]` for a match and for a pair.\n\n\
         The configurations were checked against Triton's definition of them, not with a running server.\n",
        task = manifest.task,
        table = super::parity_table(bundle, models),
    )
}
