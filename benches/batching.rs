//! From rows to batches: cutting by token budget, and putting rows into the tensors of the graph contract.
//!
//! `cargo bench -p mbsd-benches --bench batching`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mbsd_spec::{BatchLimits, Config, TextRow, collate_pixels, collate_text, plan};

/// The limits of a CPU job.
const LIMITS: BatchLimits = BatchLimits { max_tokens: 1024, max_rows: 16 };

/// Rows of a window of a CPU job.
const WINDOW: usize = 512;

/// Text lengths from 8 to 71 tokens without an order.
fn length(row: usize) -> usize {
    8 + row * 37 % 64
}

fn rows(count: usize) -> Vec<TextRow> {
    (0..count)
        .map(|row| {
            let tokens = length(row);
            let segment = |token| i64::from(token > tokens / 3);
            TextRow {
                input_ids: (0..tokens).map(|token| (row * 131 + token * 17) as i64 % 21_128).collect(),
                token_type_ids: (0..tokens).map(segment).collect(),
            }
        })
        .collect()
}

fn planning(criterion: &mut Criterion) {
    let image_tokens = Config::base().image_tokens();
    let lengths: Vec<usize> = (0..WINDOW).map(|row| length(row) + image_tokens).collect();
    let mut group = criterion.benchmark_group("plan");
    group.throughput(Throughput::Elements(WINDOW as u64));
    group.bench_function("a window", |bencher| bencher.iter(|| plan(black_box(&lengths), LIMITS)));
    group.finish();
}

fn collating(criterion: &mut Criterion) {
    let rows = rows(LIMITS.max_rows);
    let rows: Vec<&TextRow> = rows.iter().collect();
    let side = Config::base().image_size;
    let image = vec![0.5; 3 * side * side];
    let images = vec![image.as_slice(); LIMITS.max_rows];
    let mut group = criterion.benchmark_group("collate");
    group.throughput(Throughput::Elements(LIMITS.max_rows as u64));
    group.bench_function("text", |bencher| bencher.iter(|| collate_text(black_box(&rows))));
    group.bench_function("pixels", |bencher| {
        bencher.iter(|| collate_pixels(black_box(&images), side, side).expect("images of one size"));
    });
    group.finish();
}

criterion_group!(benches, planning, collating);
criterion_main!(benches);
