//! `mbsd train` and its like: another program does it, found beside this one or on the search path.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::cli::HandOverArgs;

/// Runs `program` with the given arguments and passes its exit status on.
pub(crate) fn run(command: &str, program: &str, args: HandOverArgs) -> anyhow::Result<ExitCode> {
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    let beside = env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    let Some(path) =
        beside.into_iter().chain(search_path()).map(|folder| folder.join(&file)).find(|path| path.is_file())
    else {
        bail!(
            "`mbsd {command}` needs the program `{program}`, which is neither beside this one nor on PATH; \
             build it with `cargo build --release -p {program}` or install it"
        );
    };
    let status =
        Command::new(&path).args(args.args).status().with_context(|| format!("cannot start {}", path.display()))?;
    match status.code() {
        Some(code) => Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)),
        None => bail!("`{program}` was ended by a signal"),
    }
}

fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}
