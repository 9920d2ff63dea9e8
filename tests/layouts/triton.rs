//! The Triton layout: every configuration against the graph it describes.

use std::fs;
use std::path::Path;

use mbsd_net::Head;
use mbsd_runtime::onnx::Graph;
use mbsd_spec::bundle::{DimSpec, TensorSpec};

use crate::text_format::{Field, messages, parse, values};
use crate::{Case, files};

/// Fields that a configuration may set: those that are checked here, or by Triton's own definition in `tests/python`.
const KNOWN: [&str; 8] =
    ["name", "backend", "max_batch_size", "input", "output", "dynamic_batching", "instance_group", "version_policy"];

fn one<'f>(fields: &'f [Field], path: &str) -> &'f str {
    match values(fields, path)[..] {
        [value] => value,
        ref all => panic!("{path} is given {} times", all.len()),
    }
}

fn number(fields: &[Field], path: &str) -> usize {
    one(fields, path).parse().unwrap_or_else(|_| panic!("{path} is no number"))
}

/// Triton batches over the first axis, which `dims` leaves out. `dims` may not be empty: a number a row is `[1]`, reshaped.
fn agrees(fields: &[Field], kind: &str, specs: &[TensorSpec], text: &str) {
    let tensors = messages(fields, kind, "name");
    assert_eq!(tensors.len(), specs.len());
    for (tensor, spec) in tensors.iter().zip(specs) {
        assert_eq!(one(tensor, "name"), spec.name);
        let dtype = match spec.dtype.as_str() {
            "float32" => "TYPE_FP32",
            "int64" => "TYPE_INT64",
            other => panic!("a graph takes or gives {other}"),
        };
        assert_eq!(one(tensor, "data_type"), dtype);
        assert_eq!(spec.shape[0], DimSpec::Symbol("batch".to_owned()));
        let row = spec.shape[1..].iter().map(|dim| match dim {
            DimSpec::Fixed(extent) => extent.to_string(),
            DimSpec::Symbol(_) => "-1".to_owned(),
        });
        let row: Vec<String> = row.collect();
        let reshaped =
            format!("name: \"{}\"\n    data_type: {dtype}\n    dims: [ 1 ]\n    reshape: {{ shape: [ ] }}", spec.name);
        assert_eq!(text.contains(&reshaped), row.is_empty(), "{}: {text}", spec.name);
        let expected = if row.is_empty() { vec!["1".to_owned()] } else { row };
        assert_eq!(values(tensor, "dims"), expected, "{}", spec.name);
    }
}

fn check(root: &Path, model: &str, tensorrt: bool) {
    let folder = root.join("models").join(model);
    let text = fs::read_to_string(folder.join("config.pbtxt")).unwrap();
    let fields = parse(&text);
    let graph = Graph::read(&folder.join("1/model.onnx")).unwrap();
    assert_eq!((one(&fields, "name"), one(&fields, "backend")), (model, "onnxruntime"));
    agrees(&fields, "input", &graph.inputs, &text);
    agrees(&fields, "output", &graph.outputs, &text);

    let largest = number(&fields, "max_batch_size");
    let preferred = values(&fields, "dynamic_batching.preferred_batch_size");
    assert_eq!(preferred, ["4", "8", "16", "32"]);
    assert_eq!(largest, 32);
    assert!(number(&fields, "dynamic_batching.max_queue_delay_microseconds") > 0);
    assert_eq!((one(&fields, "instance_group.kind"), number(&fields, "instance_group.count")), ("KIND_AUTO", 1));
    assert_eq!(number(&fields, "version_policy.latest.num_versions"), 1);

    let warm_ups = messages(&fields, "model_warmup", "name");
    assert_eq!(warm_ups.iter().map(|sample| number(sample, "batch_size")).collect::<Vec<_>>(), [1, largest]);
    for sample in &warm_ups {
        let inputs = messages(sample, "inputs", "key");
        assert_eq!(inputs.iter().map(|input| one(input, "key")).collect::<Vec<_>>(), values(&fields, "input.name"));
        for (input, spec) in inputs.iter().zip(&graph.inputs) {
            let dims: Vec<usize> = values(input, "value.dims").iter().map(|dim| dim.parse().unwrap()).collect();
            let fits = spec.shape[1..].iter().zip(&dims).all(|(dim, &given)| match dim {
                DimSpec::Fixed(extent) => *extent == given,
                DimSpec::Symbol(_) => given > 0,
            });
            assert!(fits && dims.len() == spec.shape.len() - 1, "{}: {dims:?}", spec.name);
            assert_eq!(one(input, "value.zero_data"), "true");
        }
    }
    accelerated(&fields, &graph, model, tensorrt);
    let unknown = fields
        .iter()
        .map(|(path, _)| path.split('.').next().unwrap_or_default())
        .find(|top| !KNOWN.contains(top) && *top != "model_warmup" && !(tensorrt && *top == "optimization"));
    assert_eq!(unknown, None);
}

fn accelerated(fields: &[Field], graph: &Graph, model: &str, tensorrt: bool) {
    let path = "optimization.execution_accelerators.gpu_execution_accelerator";
    assert_eq!(values(fields, &format!("{path}.name")), if tensorrt { vec!["tensorrt"] } else { vec![] });
    if !tensorrt {
        return;
    }
    let parameters = messages(fields, &format!("{path}.parameters"), "key");
    let option = |key: &str| {
        let found = parameters.iter().find(|parameter| one(parameter, "key") == key);
        one(found.unwrap_or_else(|| panic!("no {key}")), "value").to_owned()
    };
    assert_eq!(option("precision_mode"), if model.ends_with("_fp16") { "FP16" } else { "FP32" });
    assert_eq!(option("trt_engine_cache_enable"), "1");
    for kind in ["min", "opt", "max"] {
        let profile = option(&format!("trt_profile_{kind}_shapes"));
        let named: Vec<&str> = profile.split(',').map(|part| part.split_once(':').unwrap().0).collect();
        let mut inputs: Vec<&str> = graph.inputs.iter().map(|spec| spec.name.as_str()).collect();
        inputs.sort_unstable();
        assert_eq!(named, inputs);
        for (part, largest) in profile.split(',').map(|part| (part, kind == "max")) {
            let rows = part.split_once(':').unwrap().1.split('x').next().unwrap();
            assert!(!largest || rows == "32", "{part}");
        }
    }
}

#[test]
fn every_configuration_agrees_with_its_graph() {
    for (head, task) in [
        (Head::Match, "match"),
        (Head::Classification { classes: 3 }, "classification"),
        (Head::Alignment, "alignment"),
    ] {
        let case = Case::new(head);
        let bundle = case.export("bundle", &[]);
        for tensorrt in [false, true] {
            let out = format!("triton-{tensorrt}");
            let root = case.relayout(&bundle, "triton", &out, if tensorrt { &["--tensorrt"] } else { &[] });
            let mut variants = vec!["full", "text", "image"];
            variants.extend((task == "alignment").then_some("pair"));
            let mut models: Vec<String> = variants
                .iter()
                .flat_map(|variant| ["", "_fp16"].map(|suffix| format!("mbsd_{task}_{variant}{suffix}")))
                .collect();
            models.sort();
            for model in &models {
                check(&root, model, tensorrt);
            }
            let expected: Vec<String> = ["README.md".to_owned()]
                .into_iter()
                .chain(
                    ["config.json", "mbsd_products.py", "mbsd_triton.py", "preprocessor_config.json", "tokenizer.json"]
                        .map(|name| format!("client/{name}")),
                )
                .chain(models.iter().flat_map(|m| ["1/model.onnx", "config.pbtxt"].map(|f| format!("models/{m}/{f}"))))
                .collect();
            assert_eq!(files(&root).into_keys().collect::<Vec<_>>(), expected, "Triton takes every folder for a model");
        }
    }
}
