//! What the figures were measured on, and by which revision of the program.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;
use std::{env, fs, thread};

use super::report::Machine;
use super::{peak, usage};

/// Time for the peak of each number of threads.
const PEAK_TIME: Duration = Duration::from_millis(300);

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// This machine, with its peak on each of these numbers of threads.
pub(super) fn describe(threads: &[usize]) -> Machine {
    let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let peak_gflops: BTreeMap<usize, f64> = threads.iter().map(|&threads| (threads, self::peak(threads))).collect();
    Machine {
        cpu,
        cores: cores(),
        memory_bytes: usage::machine_memory(),
        system: format!("{} {}", env::consts::OS, env::consts::ARCH),
        peak_gflops,
    }
}

/// Single-precision GFLOP/s of `threads` threads.
pub(super) fn peak(threads: usize) -> f64 {
    peak::gflops(threads, PEAK_TIME)
}

/// The revision of the checkout that this program lies in, if it lies in one.
pub(super) fn git_revision() -> Option<String> {
    let program = env::current_exe().ok()?;
    let folder = program.parent()?;
    let git = |arguments: &[&str]| -> Option<String> {
        let out = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let revision = git(&["rev-parse", "--short=12", "HEAD"]).filter(|revision| !revision.is_empty())?;
    let root = git(&["rev-parse", "--show-toplevel"])?;
    let changed = git(&["-C", &root, "status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { revision } else { format!("{revision}-dirty") })
}
