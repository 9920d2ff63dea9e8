//! What rewriting a graph to 8 bits costs beyond its file: the products found, their weights rounded, the nodes around them.
//!
//! `cargo bench --workspace --bench quantization`

use std::hint::black_box;

use burn::module::Module;
use burn::tensor::Device;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mbsd_calib::graph::OnnxGraph;
use mbsd_calib::weights::WeightBits;
use mbsd_calib::{per_token, weights_only};
use mbsd_export::{mbsd, onnx};
use mbsd_net::{Head, Mbsd};
use mbsd_spec::{Config, Variant};

/// Four layers, half as wide as the base model.
fn config() -> Config {
    Config {
        vocab_size: 1000,
        hidden_size: 384,
        num_hidden_layers: 4,
        num_attention_heads: 6,
        intermediate_size: 1536,
        max_position_embeddings: 128,
        image_size: 64,
        ..Config::base()
    }
}

fn rewriting(criterion: &mut Criterion) {
    let config = config();
    let model = Mbsd::init(&config, Head::Match, &Device::flex()).no_grad();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("full.onnx");
    let graph = mbsd::compile(&model, &config, Variant::Full).expect("MBSD compiles");
    onnx::write(&graph, &path, &onnx::WriteOptions::default()).expect("a writable folder");
    let read = OnnxGraph::read(&path).expect("a graph just written");
    let products = read.products().expect("a graph of products");
    let bits = WeightBits::default();

    let mut group = criterion.benchmark_group("int8");
    group.sample_size(10);
    group.bench_function("read", |bencher| bencher.iter(|| OnnxGraph::read(black_box(&path)).expect("a graph")));
    group.bench_function(BenchmarkId::new("rewrite", "per token"), |bencher| {
        bencher.iter(|| {
            let mut graph = read.clone();
            per_token::quantize(&mut graph, black_box(&products), bits).expect("products of weights");
            graph
        });
    });
    group.bench_function(BenchmarkId::new("rewrite", "weights only"), |bencher| {
        bencher.iter(|| {
            let mut graph = read.clone();
            weights_only::quantize(&mut graph, black_box(&products), bits).expect("products of weights");
            graph
        });
    });
    group.finish();
}

criterion_group!(benches, rewriting);
criterion_main!(benches);
