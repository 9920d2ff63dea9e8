//! What an image costs before it reaches a graph: decoding, and preprocessing to 224 x 224 (resampling, normalising).
//!
//! `cargo bench -p mbsd-benches --bench images`

use std::hint::black_box;
use std::io::Cursor;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use image::{ImageFormat, RgbImage};
use mbsd_spec::image::decode;
use mbsd_spec::{Config, Preprocessor};

/// Width and height of the pictures that are decoded: a usual size in catalogues.
const CATALOGUE: (u32, u32) = (800, 800);

/// A picture with slopes and edges, neither flat nor noise, for which coders are not made.
fn picture((width, height): (u32, u32)) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let edge = if (x / 24 + y / 40) % 2 == 0 { 60 } else { 0 };
        image::Rgb([(x * 195 / width) as u8 + edge, (y * 195 / height) as u8 + edge, ((x * y) >> 6) as u8 / 2 + edge])
    })
}

fn encoded(size: (u32, u32), format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture(size).write_to(&mut bytes, format).expect("a picture in memory is encoded");
    bytes.into_inner()
}

fn pixels((width, height): (u32, u32)) -> Throughput {
    Throughput::Elements(u64::from(width) * u64::from(height))
}

/// Encoded bytes to upright RGB.
fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(pixels(CATALOGUE));
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        let bytes = encoded(CATALOGUE, format);
        let name = format.extensions_str()[0];
        group.bench_with_input(BenchmarkId::from_parameter(name), &bytes, |bencher, bytes| {
            bencher.iter(|| decode(black_box(bytes)).expect("a sound picture"));
        });
    }
    group.finish();
}

/// RGB of several sizes to `pixel_values`; per source pixel, as resampling reads each of them.
fn preprocessing(criterion: &mut Criterion) {
    let preprocessor = Preprocessor::new(&Config::base());
    let mut group = criterion.benchmark_group("preprocess");
    for size in [(60, 80), (224, 224), CATALOGUE, (1800, 2400)] {
        let bytes = encoded(size, ImageFormat::Png);
        let image = decode(&bytes).expect("a sound picture");
        group.throughput(pixels(size));
        group.bench_with_input(
            BenchmarkId::from_parameter(format!("{}x{}", size.0, size.1)),
            &image,
            |bencher, image| {
                bencher.iter(|| preprocessor.pixels(black_box(image)));
            },
        );
    }
    group.finish();
}

/// The whole way of a product's image: per image.
fn whole(criterion: &mut Criterion) {
    let preprocessor = Preprocessor::new(&Config::base());
    let bytes = encoded(CATALOGUE, ImageFormat::Jpeg);
    let mut group = criterion.benchmark_group("image");
    group.throughput(Throughput::Elements(1));
    group.bench_function("jpeg to pixel_values", |bencher| {
        bencher.iter(|| preprocessor.pixels(&decode(black_box(&bytes)).expect("a sound picture")));
    });
    group.finish();
}

criterion_group!(benches, decoding, preprocessing, whole);
criterion_main!(benches);
