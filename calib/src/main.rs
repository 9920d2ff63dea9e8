//! `mbsd-calib`: makes 8-bit graphs of a bundle.

mod cli;

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use mbsd_calib::qdq::Activations;
use mbsd_calib::table::Table;
use mbsd_calib::weights::WeightBits;
use mbsd_calib::{
    Calibrated, Engines, LabelledData, Method, Products, RangeData, Request, StaticRanges, TablesRequest, calibrate,
    write_tables,
};
use mbsd_data::{DuplicateIds, Keep};
use mbsd_runtime::engine::{EngineKind, EngineOptions};

use cli::{Arguments, MethodName};

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut last = error.to_string();
            for cause in error.chain().skip(1).map(ToString::to_string) {
                if cause != last {
                    eprintln!("  caused by: {cause}");
                }
                last = cause;
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    match method(&arguments)? {
        Some(method) => run_graphs(arguments, method),
        None => run_tables(arguments),
    }
}

/// Makes graphs, and tells what was measured.
fn run_graphs(arguments: Arguments, method: Method) -> anyhow::Result<()> {
    let (json, out) = (arguments.json, arguments.out.clone());
    let Calibrated { report, absent, .. } = calibrate(&request(arguments, method))?;
    for (engine, reason) in absent {
        eprintln!("note: nothing was measured with {engine}: {reason}");
    }
    for refusal in report.refusals() {
        eprintln!("note: forced, though {refusal}");
    }
    print(&if json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        format!("{}wrote {}, with a report in its folder quantization\n", report.table(), out.display())
    })
}

/// Makes calibration tables.
fn run_tables(arguments: Arguments) -> anyhow::Result<()> {
    let what_graphs_take = [
        (arguments.smooth.is_some(), "--smooth"),
        (arguments.unsigned, "--unsigned"),
        (arguments.range_data.is_some(), "--range-data"),
        (!arguments.keep.is_empty(), "--keep"),
        (arguments.sensitivity, "--sensitivity"),
        (arguments.force, "--force"),
        (arguments.labels.pairs.is_some(), "--pairs"),
    ];
    refuse(&what_graphs_take, "changes or compares graphs; a table goes with the f32 graph as it is")?;
    let json = arguments.json;
    let usual = [EngineKind::OrtCpu, EngineKind::Tract];
    let tables = write_tables(&TablesRequest {
        products: products(&arguments),
        engines: engines(&arguments, &usual),
        bundle: arguments.bundle,
        samples: arguments.samples.map(Into::into),
        variants: arguments.variants,
        threads: arguments.threads,
        method: arguments.ranges,
        version: arguments.tensorrt,
        out: arguments.out,
    })?;
    let line = |table: &Table| format!("wrote {} with {} ranges\n", table.path.display(), table.ranges.len());
    print(&if json { serde_json::to_string_pretty(&tables)? + "\n" } else { tables.iter().map(line).collect() })
}

fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Fails on the first flag that was given and does not go with the method.
fn refuse(flags: &[(bool, &str)], why: &str) -> anyhow::Result<()> {
    match flags.iter().find(|(given, _)| *given) {
        Some((_, flag)) => bail!("{flag} {why}"),
        None => Ok(()),
    }
}

fn products(arguments: &Arguments) -> Products {
    Products {
        file: arguments.data.clone(),
        options: arguments.products.options(Keep::default(), DuplicateIds::default()),
        tag_column: arguments.labels.tag_column.clone(),
    }
}

/// The engines that are asked for, or those of the usual ones that are there.
fn engines(arguments: &Arguments, usual: &[EngineKind]) -> Engines {
    Engines {
        kinds: arguments.engines.clone().unwrap_or_else(|| usual.to_vec()),
        optional: arguments.engines.is_none(),
        options: EngineOptions { onnxruntime: arguments.onnxruntime.clone() },
    }
}

/// How graphs are made; `None` where tables are.
fn method(arguments: &Arguments) -> anyhow::Result<Option<Method>> {
    let of_static_ranges = [
        (arguments.smooth.is_some(), "--smooth"),
        (arguments.unsigned, "--unsigned"),
        (arguments.range_data.is_some(), "--range-data"),
    ];
    let graphs_without_ranges = |method| {
        refuse(&of_static_ranges, "is for static ranges: --method qdq")?;
        Ok(Some(method))
    };
    match arguments.method {
        MethodName::PerToken => graphs_without_ranges(Method::PerToken),
        MethodName::Weights => graphs_without_ranges(Method::Weights),
        MethodName::Table => Ok(None),
        MethodName::Qdq => Ok(Some(Method::Qdq(StaticRanges {
            data: match &arguments.range_data {
                Some(file) => RangeData::File(file.clone()),
                None => RangeData::HeldOut(arguments.range_rows.into()),
            },
            method: arguments.ranges,
            activations: if arguments.unsigned { Activations::Unsigned } else { Activations::Signed },
            smoothing: arguments.smooth,
        }))),
    }
}

fn request(arguments: Arguments, method: Method) -> Request {
    let usual: &[EngineKind] = match method {
        // tract multiplies what was quantized and restored as floats.
        Method::Qdq(_) => &[EngineKind::OrtCpu],
        Method::PerToken | Method::Weights => &[EngineKind::Tract, EngineKind::OrtCpu],
    };
    Request {
        data: LabelledData {
            products: products(&arguments),
            label_column: arguments.labels.label_column.clone(),
            pairs: arguments.labels.pairs.clone(),
            samples: arguments.samples.map(Into::into),
        },
        engines: engines(&arguments, usual),
        bundle: arguments.bundle,
        method,
        variants: arguments.variants,
        threads: arguments.threads,
        weight_bits: if arguments.weight_bits == 7 { WeightBits::Seven } else { WeightBits::Eight },
        keep: arguments.keep,
        max_drop: arguments.max_drop,
        sensitivity: arguments.sensitivity,
        force: arguments.force,
        out: arguments.out,
    }
}
