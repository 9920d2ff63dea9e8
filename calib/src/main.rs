//! `mbsd-calib`: makes 8-bit graphs of a bundle.

mod cli;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use mbsd_calib::qdq::Activations;
use mbsd_calib::weights::WeightBits;
use mbsd_calib::{Calibrated, LabelledData, Method, Request, calibrate};
use mbsd_data::ProductOptions;
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
    let (json, out) = (arguments.json, arguments.out.clone());
    let Calibrated { report, absent, .. } = calibrate(&request(arguments))?;
    for (engine, reason) in absent {
        eprintln!("note: nothing was measured with {engine}: {reason}");
    }
    for refusal in report.refusals() {
        eprintln!("note: forced, though {refusal}");
    }
    let text = if json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        format!("{}wrote {}, with a report in its folder quantization\n", report.table(), out.display())
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn request(arguments: Arguments) -> Request {
    let method = match arguments.method {
        MethodName::PerToken => Method::PerToken,
        MethodName::Qdq if arguments.unsigned => Method::Qdq(arguments.ranges, Activations::Unsigned),
        MethodName::Qdq => Method::Qdq(arguments.ranges, Activations::Signed),
        MethodName::Weights => Method::Weights,
    };
    let usual = match method {
        // tract multiplies what was quantized and restored as floats.
        Method::Qdq(..) => vec![EngineKind::OrtCpu],
        Method::PerToken | Method::Weights => vec![EngineKind::Tract, EngineKind::OrtCpu],
    };
    Request {
        bundle: arguments.bundle,
        method,
        data: LabelledData {
            products: arguments.data,
            options: ProductOptions {
                id_column: arguments.id_column,
                title_column: arguments.title_column,
                image_column: arguments.image_column,
                images: arguments.images,
                ..ProductOptions::default()
            },
            label_column: arguments.label_column,
            tag_column: arguments.tag_column,
            pairs: arguments.pairs,
            samples: arguments.samples.map(Into::into),
        },
        variants: arguments.variants,
        engines_optional: arguments.engines.is_none(),
        engines: arguments.engines.unwrap_or(usual),
        engine_options: EngineOptions { onnxruntime: arguments.onnxruntime },
        threads: arguments.threads,
        weight_bits: if arguments.weight_bits == 7 { WeightBits::Seven } else { WeightBits::Eight },
        keep: arguments.keep,
        max_drop: arguments.max_drop,
        sensitivity: arguments.sensitivity,
        force: arguments.force,
        out: arguments.out,
    }
}
