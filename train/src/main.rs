//! `mbsd-train`: see `mbsd-train --help` and `docs/training.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mbsd_train::cli::main()
}
