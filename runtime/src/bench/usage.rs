//! What a process used, as Linux tells it; elsewhere nothing is known.

use std::fs;

/// Processor seconds of this process's living threads, to the nanosecond.
pub(super) fn cpu_seconds() -> Option<f64> {
    let mut total = 0u64;
    for task in fs::read_dir("/proc/self/task").ok()? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
        total += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    (total > 0).then(|| total as f64 / 1e9)
}

/// Processor seconds of this process with its ended threads, to the hundredth.
pub(super) fn process_cpu_seconds() -> Option<f64> {
    /// Of the kernel's interface, whatever the kernel itself counts in.
    const TICKS_PER_SECOND: f64 = 100.0;
    Ticks::now().map(|ticks| ticks.own as f64 / TICKS_PER_SECOND)
}

/// The most memory that this process has had resident, in bytes.
pub(super) fn peak_memory() -> Option<u64> {
    field(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Bytes of memory of the machine.
pub(super) fn machine_memory() -> Option<u64> {
    field(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// A line `NAME  123 kB`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Processor time of the machine and of this process with its ended children, in ticks of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticks {
    pub(super) all: u64,
    pub(super) busy: u64,
    pub(super) stolen: u64,
    pub(super) own: u64,
}

impl Ticks {
    /// Up to now.
    pub(super) fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?, &fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(machine: &str, own: &str) -> Option<Self> {
        let line = machine.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let values: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        // user, nice, system, idle, iowait, irq, softirq, steal; guests' time is in user's.
        let [user, nice, system, idle, iowait, irq, softirq, stolen] = *values.first_chunk::<8>()?;
        let busy = user + nice + system + irq + softirq;
        // The name in parentheses may hold blanks: user, system, children's user and system are 12 to 15 after it.
        let (_, rest) = own.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let own = fields.get(11..15)?.iter().map(|field| field.parse::<u64>()).sum::<Result<u64, _>>().ok()?;
        Some(Self { all: busy + idle + iowait + stolen, busy, stolen, own })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        let machine = "cpu  100 1 20 500 30 2 3 4 0 0\ncpu0 1 2 3\n";
        let own = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 7 8 30 5 20 0\n";
        assert_eq!(Ticks::parse(machine, own), Some(Ticks { all: 660, busy: 126, stolen: 4, own: 50 }));
        assert_eq!(Ticks::parse("intr 5", own), None);
        assert_eq!(field("VmPeak:\t 9 kB\nVmHWM:\t   512 kB\n", "VmHWM:"), Some(512 * 1024));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_something() {
        assert!(peak_memory().unwrap() > 1 << 20 && machine_memory().unwrap() > 1 << 28);
        assert!(cpu_seconds().unwrap() > 0.0);
        Ticks::now().unwrap();
    }
}
