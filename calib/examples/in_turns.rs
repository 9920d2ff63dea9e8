//! Times graph files beside the first of them, in turns, over made-up rows. With more threads than one, give the machine
//! nothing else to do:
//!
//! `cargo run --example in_turns -- ENGINE THREADS ROUNDS BATCHES TEXTS F32.onnx OTHER.onnx ...`, for instance
//! `... tract 1 5 1,8 32,144 bundle/onnx/full.onnx bundle/onnx/full_int8.onnx`.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context, bail};
use mbsd_runtime::engine::{self, EngineOptions, Session, SessionOptions};
use mbsd_spec::bundle::{DimSpec, TensorSpec};
use mbsd_spec::{NamedTensors, Tensor};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, threads, rounds, batches, texts, files @ ..] = arguments.as_slice() else {
        bail!("give ENGINE THREADS ROUNDS BATCHES TEXTS F32.onnx OTHER.onnx ...");
    };
    let engine = engine::open(engine.parse()?, &EngineOptions::default())?;
    let options = SessionOptions { threads: NonZeroUsize::new(threads.parse()?), ..SessionOptions::default() };
    let mut sessions: Vec<Box<dyn Session>> =
        files.iter().map(|file| engine.load(Path::new(file), &options)).collect::<Result<_, _>>()?;
    let rounds: usize = rounds.parse()?;
    for batch in numbers(batches)? {
        for text in numbers(texts)? {
            let inputs = sessions.first().context("give a graph")?.inputs().to_vec();
            let inputs: NamedTensors = inputs
                .iter()
                .map(|spec| Ok((spec.name.clone(), rows(spec, batch, text)?)))
                .collect::<anyhow::Result<_>>()?;
            let mut times = vec![Vec::new(); sessions.len()];
            // The first round allocates.
            for round in 0..=rounds {
                for (session, times) in sessions.iter_mut().zip(&mut times) {
                    let start = clock();
                    session.run(&inputs)?;
                    if round > 0 {
                        times.push(clock() - start);
                    }
                }
            }
            println!("{} text {text} batch {batch}", engine.kind());
            for (file, own) in files.iter().zip(&times) {
                let ratios = times[0].iter().zip(own).map(|(first, own)| first / own).collect();
                println!("  {:8.1} ms  {:5.2} x  {file}", 1e3 * median(own.clone()), median(ratios));
            }
        }
    }
    Ok(())
}

/// Seconds that this thread has computed, where Linux counts them: with one thread, other work on the machine is not in
/// it. Else the time of day.
fn clock() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let computed = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = computed.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    match nanoseconds {
        Some(nanoseconds) if nanoseconds > 0.0 => nanoseconds / 1e9,
        _ => START.get_or_init(Instant::now).elapsed().as_secs_f64(),
    }
}

fn numbers(text: &str) -> anyhow::Result<Vec<usize>> {
    text.split(',').map(|number| number.parse().with_context(|| format!("`{number}` is no number"))).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Made-up values of an input; ids fit small vocabularies, masks have no padding.
fn rows(spec: &TensorSpec, batch: usize, text: usize) -> anyhow::Result<Tensor> {
    let extent = |dim: &DimSpec| match dim {
        DimSpec::Fixed(extent) => *extent,
        DimSpec::Symbol(symbol) if symbol == "batch" => batch,
        DimSpec::Symbol(_) => text,
    };
    let shape: Vec<usize> = spec.shape.iter().map(extent).collect();
    let count = shape.iter().product::<usize>();
    Ok(match spec.name.as_str() {
        "input_ids" => Tensor::i64(shape, (0..count as i64).map(|i| i * 37 % 150).collect())?,
        "attention_mask" => Tensor::i64(shape, vec![1; count])?,
        _ if spec.dtype == "int64" => Tensor::i64(shape, vec![0; count])?,
        _ => Tensor::f32(shape, (0..count).map(|i| (i * 7919 % 2003) as f32 / 1001.5 - 1.0).collect())?,
    })
}
