//! What text costs before it reaches a graph: encoding titles, and putting a title's row together for each tag.
//!
//! `cargo bench -p mbsd-benches --bench text`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mbsd_spec::Tokenizer;
use mbsd_spec::config::MAX_TEXT_TOKENS;

/// Entries of the vocabulary; enough that words are found whole, in pieces and not at all.
const VOCABULARY: usize = 2000;

const ENGLISH: &str =
    "Women's long sleeve half-high collar knitted dress, slim fit, autumn & winter 2026, wine red (M-XXL)";
const CHINESE: &str = "秋冬新款半高领修身打底针织连衣裙女中长款过膝内搭长袖毛衣裙 酒红色 均码";

fn tokenizer() -> Tokenizer {
    let texts = [ENGLISH, CHINESE].into_iter().cycle().take(20).map(str::to_owned);
    Tokenizer::train(texts, VOCABULARY, true).expect("texts with words")
}

/// A string to token ids. A long text costs what is kept of it, not its length.
fn encoding(criterion: &mut Criterion) {
    let tokenizer = tokenizer();
    let megabyte = ENGLISH.repeat((1 << 20) / ENGLISH.len());
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    for (name, text) in
        [("tag", "Colour:Black"), ("English title", ENGLISH), ("Chinese title", CHINESE), ("1 MB title", &megabyte)]
    {
        group.bench_with_input(BenchmarkId::from_parameter(name), text, |bencher, text| {
            bencher.iter(|| tokenizer.encode(black_box(text)));
        });
    }
    group.finish();
}

/// One product asked about 35 tags: `[CLS] tag [SEP] title [SEP]` for each, from encoded parts.
fn rows(criterion: &mut Criterion) {
    let tokenizer = tokenizer();
    let title = tokenizer.encode(ENGLISH);
    let tags: Vec<_> = (0..35).map(|tag| tokenizer.encode(&format!("Article type:shirt {tag}"))).collect();
    let mut group = criterion.benchmark_group("rows");
    group.throughput(Throughput::Elements(tags.len() as u64));
    group.bench_function("a title with 35 tags", |bencher| {
        bencher.iter(|| {
            let row = |tag| tokenizer.pair_row(tag, Some(black_box(&title)), MAX_TEXT_TOKENS).expect("tags fit");
            tags.iter().map(row).collect::<Vec<_>>()
        });
    });
    group.finish();
}

criterion_group!(benches, encoding, rows);
criterion_main!(benches);
