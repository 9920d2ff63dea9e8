//! Was the machine at rest? What other programs took of it, and how even a fixed piece of arithmetic ran between the cells.

use mbsd_spec::statistics::quantile;

use super::peak;
use super::report::Noise;
use super::usage::Ticks;

/// Share of the processor's time that others may take.
const OTHERS: f64 = 0.03;

/// Share that a hypervisor may take.
const STOLEN: f64 = 0.01;

/// How much longer than its fastest run the probe may take at its 90th percentile.
const SPREAD: f64 = 0.15;

/// Watches the machine while cells are measured.
pub(super) struct Watch {
    threads: usize,
    start: Option<Ticks>,
    probes: Vec<f64>,
}

impl Watch {
    pub(super) fn start(threads: usize) -> Self {
        Self { threads, start: Ticks::now(), probes: Vec::new() }
    }

    /// Runs the probe, between two cells.
    pub(super) fn probe(&mut self) {
        // A core that had nothing to do wakes up first.
        peak::probe(self.threads);
        self.probes.push(peak::probe(self.threads));
    }

    pub(super) fn verdict(self) -> Noise {
        let ticks = self.start.zip(Ticks::now());
        judge(&self.probes, ticks)
    }
}

fn judge(probes: &[f64], ticks: Option<(Ticks, Ticks)>) -> Noise {
    let mut sorted = probes.to_vec();
    sorted.sort_by(f64::total_cmp);
    let probe_spread = match sorted.first() {
        Some(&least) if least > 0.0 => quantile(&sorted, 0.9) / least - 1.0,
        _ => 0.0,
    };
    let shares = ticks.and_then(|(before, after)| {
        let all = (after.all - before.all) as f64;
        let others = (after.busy - before.busy).saturating_sub(after.own - before.own) as f64;
        (all > 0.0).then(|| (others / all, (after.stolen - before.stolen) as f64 / all))
    });
    let mut reasons = Vec::new();
    let mut check = |value: f64, limit: f64, what: &str| {
        if value > limit {
            reasons.push(
                format!("{what} (at most {:.0}% is quiet)", 100.0 * limit)
                    .replace("VALUE", &format!("{:.0}%", 100.0 * value)),
            );
        }
    };
    if let Some((others, stolen)) = shares {
        check(others, OTHERS, "other programs took VALUE of the processor time");
        check(stolen, STOLEN, "the hypervisor gave VALUE of the processor time away");
    }
    check(probe_spread, SPREAD, "the same arithmetic took up to VALUE longer at times");
    Noise {
        quiet: reasons.is_empty(),
        reasons,
        probe_spread,
        others: shares.map(|shares| shares.0),
        stolen: shares.map(|shares| shares.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(all: u64, busy: u64, stolen: u64, own: u64) -> Ticks {
        Ticks { all, busy, stolen, own }
    }

    #[test]
    fn a_machine_at_rest_is_quiet() {
        let noise = judge(&[2.0, 2.05, 2.1, 2.02], Some((ticks(0, 0, 0, 0), ticks(1000, 510, 0, 500))));
        assert!(noise.quiet && noise.reasons.is_empty());
        assert_eq!((noise.others, noise.stolen), (Some(0.01), Some(0.0)));
        assert!(judge(&[2.0], None).quiet);
    }

    #[test]
    fn other_work_is_seen_and_said() {
        let noise = judge(&[2.0, 2.0, 4.0], Some((ticks(0, 0, 0, 0), ticks(1000, 900, 50, 500))));
        assert!(!noise.quiet);
        assert_eq!(
            noise.reasons,
            [
                "other programs took 40% of the processor time (at most 3% is quiet)",
                "the hypervisor gave 5% of the processor time away (at most 1% is quiet)",
                "the same arithmetic took up to 100% longer at times (at most 15% is quiet)",
            ]
        );
    }
}
