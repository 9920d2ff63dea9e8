//! Where a job's processor time goes, and how much memory it takes.
//!
//! Stages overlap and share the cores, so wall time within one says little; the time that the processor spends on it does. The engine
//! computes on threads of its own: inference is what remains of the process's time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cpu_time::{ProcessTime, ThreadTime};

/// What a thread does between two queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Rows from the input.
    Read,
    /// Images: reading, decoding, resizing.
    Decode,
    /// Texts to token ids and rows.
    Tokenize,
    /// Results to the output.
    Write,
    /// Loading of graphs.
    Load,
}

/// Adds up processor time by stage, over all threads.
pub(super) struct Clock {
    start: ProcessTime,
    stages: [AtomicU64; 5],
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: ProcessTime::now(), stages: Default::default() }
    }

    /// Runs `work` as a part of `stage`.
    pub(super) fn during<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = ThreadTime::now();
        let outcome = work();
        let nanoseconds = start.elapsed().as_nanos() as u64;
        self.stages[stage as usize].fetch_add(nanoseconds, Ordering::Relaxed);
        outcome
    }

    /// Time of a stage so far.
    pub(super) fn of(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.stages[stage as usize].load(Ordering::Relaxed))
    }

    /// Time of the whole process so far, loading left out.
    pub(super) fn total(&self) -> Duration {
        self.start.elapsed().saturating_sub(self.of(Stage::Load))
    }
}

/// The most memory the process has held so far, in bytes, where the system tells (Linux).
pub(super) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_to_the_stage_that_takes_it() {
        let clock = Clock::start();
        let spin = |milliseconds| {
            let start = ThreadTime::now();
            while start.elapsed() < Duration::from_millis(milliseconds) {}
        };
        std::thread::scope(|scope| {
            scope.spawn(|| clock.during(Stage::Decode, || spin(20)));
            scope.spawn(|| clock.during(Stage::Decode, || spin(20)));
            clock.during(Stage::Read, || std::thread::sleep(Duration::from_millis(5)));
        });
        assert!(clock.of(Stage::Decode) >= Duration::from_millis(40));
        assert!(clock.of(Stage::Read) < Duration::from_millis(5), "sleeping takes no processor");
        assert!(clock.total() >= clock.of(Stage::Decode));
        assert_eq!(clock.of(Stage::Write), Duration::ZERO);
        if cfg!(target_os = "linux") {
            assert!(peak_memory().unwrap() > 1 << 20);
        }
    }
}
