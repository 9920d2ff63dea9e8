//! What an export costs beyond its weights: capturing a small model, solving its dimensions, lowering, passes, and
//! writing the file.
//!
//! `cargo bench -p mbsd-benches --bench compiler`

use std::hint::black_box;
use std::time::Duration;

use burn::module::Module;
use burn::tensor::Device;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mbsd_export::{mbsd, onnx};
use mbsd_net::{Head, Mbsd};
use mbsd_spec::{Config, Variant};

/// Narrow, so that the time is that of the graph and not of the weights; four layers, as names and sharing grow with
/// them.
fn config() -> Config {
    Config {
        vocab_size: 1000,
        hidden_size: 64,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        intermediate_size: 256,
        max_position_embeddings: 128,
        image_size: 64,
        ..Config::base()
    }
}

fn compiling(criterion: &mut Criterion) {
    let config = config();
    let model = Mbsd::init(&config, Head::Match, &Device::flex()).no_grad();
    let mut group = criterion.benchmark_group("export");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for variant in Variant::ENCODERS {
        group.bench_function(BenchmarkId::new("compile", variant), |bencher| {
            bencher.iter(|| mbsd::compile(black_box(&model), &config, variant).expect("MBSD compiles"));
        });
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("full.onnx");
    group.bench_function("compile and write/full", |bencher| {
        bencher.iter(|| {
            let graph = mbsd::compile(black_box(&model), &config, Variant::Full).expect("MBSD compiles");
            onnx::write(&graph, &path, &onnx::WriteOptions::default()).expect("a writable folder")
        });
    });
    group.finish();
}

criterion_group!(benches, compiling);
criterion_main!(benches);
