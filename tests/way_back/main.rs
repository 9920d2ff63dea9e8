//! The way back: small graphs of this compiler, imported by burn-onnx, compute in Burn what engines compute of the graphs.
//!
//! `graphs` holds the graphs and `imported` what burn-onnx makes of each: a module and its weights, run here as they are, so
//! that burn-onnx itself, which asks for other features of Burn, is compiled for `cargo xtask way-back` alone.

mod graphs;

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Bytes, Device, Int, Tensor as BurnTensor, TensorData};
use mbsd_export::onnx;
use mbsd_runtime::engine::SessionOptions;
use mbsd_spec::{NamedTensors, Task, Tensor, Variant};
use mbsd_tests::models::plain;
use mbsd_tests::{engines, max_difference, models, tolerance};

/// Set to write the graphs instead of comparing them.
const WRITE: &str = "MBSD_WRITE_GRAPHS";

/// What burn-onnx wrote, as it is.
macro_rules! imported {
    ($($name:ident),*) => {
        mod imported {
            $(
                #[allow(unused_imports, unused_parens, unreachable_pub, missing_docs, clippy::all, clippy::pedantic)]
                pub(crate) mod $name {
                    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/way_back/imported/", stringify!($name), ".rs"));
                }
            )*
        }
    };
}

imported!(fashionbert, mbsd_full, mbsd_text, vilt);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("way_back").join(name)
}

#[test]
fn the_graphs_are_what_the_compiler_writes() {
    let temporary = tempfile::tempdir().unwrap();
    for (name, graph) in graphs::all() {
        let (fresh, kept) = (temporary.path().join("graph.onnx"), folder("graphs").join(format!("{name}.onnx")));
        if std::env::var_os(WRITE).is_some() {
            fs::create_dir_all(folder("graphs")).unwrap();
            onnx::write(&graph, &kept, &Default::default()).unwrap();
            continue;
        }
        onnx::write(&graph, &fresh, &Default::default()).unwrap();
        let same = fs::read(&fresh).unwrap() == fs::read(&kept).unwrap();
        assert!(same, "{name}.onnx is another graph now: run `cargo xtask way-back --update`");
    }
}

/// A graph's inputs as the imported modules take them.
struct Given {
    ids: BurnTensor<2, Int>,
    mask: BurnTensor<2, Int>,
    types: BurnTensor<2, Int>,
    pixels: BurnTensor<4>,
}

fn given(inputs: &NamedTensors, device: &Device) -> Given {
    let integers = |name: &str| match &inputs[name] {
        Tensor::I64 { shape, data } => BurnTensor::from_data(TensorData::new(data.clone(), shape.clone()), device),
        Tensor::F32 { .. } => panic!("{name} is no list of integers"),
    };
    let pixels = match inputs.get("pixel_values") {
        Some(Tensor::F32 { shape, data }) => TensorData::new(data.clone(), shape.clone()),
        _ => TensorData::new(vec![0f32], [1, 1, 1, 1]),
    };
    Given {
        ids: integers("input_ids"),
        mask: integers("attention_mask"),
        types: integers("token_type_ids"),
        pixels: BurnTensor::from_data(pixels, device),
    }
}

/// What the imported module computes, by the names of the graph's outputs.
fn back_in_burn(name: &str, inputs: &NamedTensors) -> NamedTensors {
    let device = Device::flex();
    let Given { ids, mask, types, pixels } = given(inputs, &device);
    let weights = Bytes::from_bytes_vec(fs::read(folder("imported").join(format!("{name}.bpk"))).unwrap());
    let named = |outputs: Vec<(&str, Tensor)>| outputs.into_iter().map(|(name, t)| (name.to_owned(), t)).collect();
    match name {
        "mbsd_full" => {
            let (logits, pooled) =
                imported::mbsd_full::Model::from_bytes(weights, &device).forward(ids, mask, types, pixels);
            named(vec![("logits", plain(logits)), ("pooled", plain(pooled))])
        }
        "mbsd_text" => {
            let (logits, pooled) = imported::mbsd_text::Model::from_bytes(weights, &device).forward(ids, mask, types);
            named(vec![("logits", plain(logits)), ("pooled", plain(pooled))])
        }
        "vilt" => {
            let logits = imported::vilt::Model::from_bytes(weights, &device).forward(ids, mask, types, pixels);
            named(vec![("logits", plain(logits))])
        }
        "fashionbert" => {
            let logits = imported::fashionbert::Model::from_bytes(weights, &device).forward(ids, mask, types, pixels);
            named(vec![("logits", plain(logits))])
        }
        other => panic!("no module is imported as {other}"),
    }
}

#[test]
fn an_imported_graph_computes_what_the_engines_compute() {
    let config = graphs::config();
    for (name, _) in graphs::all() {
        let variant = if name.ends_with("text") { Variant::Text } else { Variant::Full };
        let path = folder("graphs").join(format!("{name}.onnx"));
        for (batch, text) in [(1, 1), (2, 5), (3, config.max_position_embeddings)] {
            let inputs = models::rows(&config, Task::Match, variant, batch, text);
            let back = back_in_burn(name, &inputs);
            for engine in engines::available() {
                let outputs = engine.load(&path, &SessionOptions::default()).unwrap().run(&inputs).unwrap();
                assert_eq!(back.keys().collect::<Vec<_>>(), outputs.keys().collect::<Vec<_>>(), "{name}");
                for (output, value) in &outputs {
                    assert_eq!(back[output].shape(), value.shape(), "{name} {output}");
                    let (ours, theirs) = (value.as_f32().unwrap(), back[output].as_f32().unwrap());
                    let difference = max_difference(ours, theirs);
                    let what = format!("{name} {output}, {batch} x {text}, {}", engine.kind());
                    assert!(difference <= tolerance::ENGINE, "{what}: {difference:e}");
                    assert!(ours.iter().any(|value| value.abs() > 1e-3), "{what}: all but zero");
                }
            }
        }
    }
}
