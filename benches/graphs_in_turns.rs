//! ONNX files that compute the same, run in turns by each engine: operators, time, and how far the outputs are apart.
//!
//! ```sh
//! cargo build --workspace --example graphs_in_turns
//! target/debug/examples/graphs_in_turns --graph ours=full.onnx --graph peer=peer.onnx --text 32,144 --batch 1,8
//! ```
//!
//! A round runs every file once, beginning with another one each time. Ratios are of the times within a round, to the first
//! file's. ONNX Runtime runs what is loaded first 2 to 3% slower, whichever file it is: the rounds are run twice, with files loaded in
//! the opposite order. One thread; the time is what passed, so that nothing else may run.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use mbsd_runtime::engine::{self, EngineKind, EngineOptions, Session, SessionOptions};
use mbsd_runtime::onnx::Graph;
use mbsd_spec::bundle::{DimSpec, TensorSpec};
use mbsd_spec::{NamedTensors, Tensor};

#[derive(Debug, Parser)]
struct Arguments {
    /// NAME=FILE.onnx; the first is what the others are compared with.
    #[arg(long, required = true, value_parser = named)]
    graph: Vec<(String, PathBuf)>,
    #[arg(long, value_delimiter = ',', default_value = "ort-cpu,tract", value_parser = kind)]
    engines: Vec<EngineKind>,
    #[arg(long, value_delimiter = ',', default_value = "1")]
    batch: Vec<usize>,
    #[arg(long, value_delimiter = ',', default_value = "32,144")]
    text: Vec<usize>,
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Rounds that are not counted.
    #[arg(long, default_value_t = 2)]
    warm_up: usize,
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("must be NAME=FILE.onnx")?;
    Ok((name.to_owned(), file.into()))
}

fn kind(text: &str) -> Result<EngineKind, String> {
    text.parse().map_err(|error: engine::UnknownEngine| error.to_string())
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    for (name, file) in &arguments.graph {
        let graph = Graph::read(file)?;
        println!("{name:<12} {} operators, without constants {}", graph.nodes.len(), operators(&graph));
    }
    let shapes: Vec<(usize, usize)> =
        arguments.text.iter().flat_map(|&text| arguments.batch.iter().map(move |&batch| (text, batch))).collect();
    for &kind in &arguments.engines {
        let engine = engine::open(kind, &EngineOptions { onnxruntime: arguments.onnxruntime.clone() })?;
        let options = SessionOptions { threads: NonZeroUsize::new(1), ..Default::default() };
        let load = |(name, file): &(String, PathBuf)| match engine.load(file, &options) {
            Ok(session) => Some((name.clone(), session)),
            Err(error) => {
                println!("{kind} does not take {name}: {}", engine::causes(&error));
                None
            }
        };
        let mut measured: Vec<Vec<Measured>> = shapes.iter().map(|_| Vec::new()).collect();
        for reversed in [false, true] {
            let mut sessions: Vec<_> = match reversed {
                false => arguments.graph.iter().filter_map(load).collect(),
                true => arguments.graph.iter().rev().filter_map(load).collect(),
            };
            sessions.sort_by_key(|(name, _)| arguments.graph.iter().position(|(known, _)| known == name));
            for (&(text, batch), known) in shapes.iter().zip(&mut measured) {
                let rounds = measure(&mut sessions, text, batch, &arguments)?;
                match reversed {
                    false => *known = rounds,
                    true => known.iter_mut().zip(rounds).for_each(|(one, again)| one.times.extend(again.times)),
                }
            }
        }
        for (&(text, batch), measured) in shapes.iter().zip(&measured) {
            report(kind, text, batch, measured, arguments.json);
        }
    }
    Ok(())
}

/// Operators that compute.
fn operators(graph: &Graph) -> usize {
    graph.nodes.iter().filter(|node| node.op != "Constant").count()
}

/// One file's times, one a round, and how far its outputs are from the first file's.
struct Measured {
    name: String,
    times: Vec<Duration>,
    difference: f32,
}

fn measure(
    sessions: &mut [(String, Box<dyn Session>)],
    text: usize,
    batch: usize,
    arguments: &Arguments,
) -> Result<Vec<Measured>> {
    let mut first: Option<NamedTensors> = None;
    let mut measured = Vec::new();
    let mut inputs = Vec::new();
    for (name, session) in sessions.iter_mut() {
        let given = session.inputs().iter().map(|spec| input(spec, text, batch)).collect::<Result<NamedTensors>>()?;
        let outputs = session.run(&given)?;
        let expected = first.get_or_insert_with(|| outputs.clone());
        measured.push(Measured { name: name.clone(), times: Vec::new(), difference: apart(expected, &outputs)? });
        inputs.push(given);
    }
    for round in 0..arguments.warm_up + arguments.rounds {
        for turn in 0..sessions.len() {
            let index = (round + turn) % sessions.len();
            let started = Instant::now();
            sessions[index].1.run(&inputs[index])?;
            if round >= arguments.warm_up {
                measured[index].times.push(started.elapsed());
            }
        }
    }
    Ok(measured)
}

/// Values for an input, the same each time: a full mask, ids below 1000, pixels between -1 and 1.
fn input(spec: &TensorSpec, text: usize, batch: usize) -> Result<(String, Tensor)> {
    let extent = |dim: &DimSpec| match dim {
        DimSpec::Fixed(extent) => Ok(*extent),
        DimSpec::Symbol(name) if name == "batch" => Ok(batch),
        DimSpec::Symbol(name) if name == "text" => Ok(text),
        DimSpec::Symbol(name) => bail!("`{}` has the size `{name}`; batch and text are known", spec.name),
    };
    let shape = spec.shape.iter().map(extent).collect::<Result<Vec<usize>>>()?;
    let count = shape.iter().product::<usize>();
    let value = |i: usize| (i * 7919 + 13) % 1000;
    let tensor = match (spec.dtype.as_str(), spec.name.as_str()) {
        ("int64", "attention_mask") => Tensor::i64(shape, vec![1; count])?,
        ("int64", "token_type_ids") => Tensor::i64(shape, vec![0; count])?,
        ("int64", _) => Tensor::i64(shape, (0..count).map(|i| value(i) as i64).collect())?,
        ("float32", _) => Tensor::f32(shape, (0..count).map(|i| value(i) as f32 / 500.0 - 1.0).collect())?,
        (dtype, name) => bail!("`{name}` is {dtype}: int64 and float32 are known"),
    };
    Ok((spec.name.clone(), tensor))
}

/// Largest difference of the outputs that both have.
fn apart(expected: &NamedTensors, found: &NamedTensors) -> Result<f32> {
    let mut largest = None;
    for (name, expected) in expected {
        let Some(found) = found.get(name) else { continue };
        let (a, b) = (expected.as_f32().context("outputs are floats")?, found.as_f32().context("outputs are floats")?);
        ensure!(a.len() == b.len(), "`{name}` has {} values in one graph, {} in another", a.len(), b.len());
        largest = a.iter().zip(b).map(|(a, b)| (a - b).abs()).chain(largest).reduce(f32::max);
    }
    largest.context("the graphs share no output")
}

fn report(kind: EngineKind, text: usize, batch: usize, measured: &[Measured], json: bool) {
    let Some(first) = measured.first() else { return };
    for one in measured {
        let ratios = one.times.iter().zip(&first.times).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64());
        let (milliseconds, ratio) = (middle(one.times.iter().map(|t| t.as_secs_f64() * 1e3)), middle(ratios));
        let least = one.times.iter().min().map_or(0.0, |t| t.as_secs_f64() * 1e3);
        if json {
            let line = BTreeMap::from([("milliseconds", milliseconds), ("least", least), ("ratio", ratio)]);
            let line = serde_json::json!({
                "engine": kind.name(), "text": text, "batch": batch, "graph": one.name, "time": line,
                "difference": one.difference,
            });
            println!("{line}");
            continue;
        }
        println!(
            "{kind:<8} text {text:>3} batch {batch:>2}  {:<12} {milliseconds:8.1} ms (least {least:.1})  {ratio:.3} of {}, \
             outputs {:.1e} apart",
            one.name, first.name, one.difference
        );
    }
}

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
