//! `way-back OUT GRAPH.onnx...`: imports each graph with burn-onnx and writes the module, `OUT/NAME.rs`, and its weights,
//! `OUT/NAME.bpk`. A graph that cannot be imported is named with the reason, and makes the program fail.

use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;

use burn_onnx::{LoadStrategy, ModelGen};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, graphs @ ..] = arguments.as_slice() else {
        eprintln!("give OUT GRAPH.onnx...");
        return ExitCode::FAILURE;
    };
    let mut code = ExitCode::SUCCESS;
    for graph in graphs {
        let name = Path::new(graph).file_stem().unwrap_or_default().to_string_lossy();
        let imported = catch_unwind(|| {
            ModelGen::new().input(graph).out_dir(out).load_strategy(LoadStrategy::Bytes).run_from_cli();
        });
        match imported {
            Ok(()) => println!("{name}: imported"),
            // The panic has printed why.
            Err(_) => {
                println!("{name}: cannot be imported");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
