//! From the rounds of a cell to its figures.

use mbsd_spec::statistics::{Mean, median, quantile};

use super::report::{Measurement, Stages};
use super::worker::Round;

/// What does not come from the rounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Basis {
    /// Rows of a request.
    pub(super) batch: usize,
    /// Multiplications and additions of a request.
    pub(super) flops: Option<f64>,
    /// The machine's peak on as many threads, in GFLOP/s.
    pub(super) peak: Option<f64>,
}

/// The figures of a cell; `None` where no request was measured.
pub(super) fn summarize(rounds: &[Round], basis: Basis) -> Option<Measurement> {
    let mut all: Vec<f64> = rounds.iter().flat_map(|round| round.latencies_ms.iter().copied()).collect();
    all.sort_by(f64::total_cmp);
    let pooled = Mean::of(&all)?;
    let measured: Vec<&Round> = rounds.iter().filter(|round| !round.latencies_ms.is_empty()).collect();
    let over = |value: &dyn Fn(&Round) -> f64| -> Vec<f64> { measured.iter().map(|round| value(round)).collect() };
    let round_mean = Mean::of(&over(&|round| Mean::of(&round.latencies_ms).map_or(0.0, |mean| mean.mean)))?;
    let round_p50_ms = over(&|round| median(&round.latencies_ms));
    let rows = |round: &Round| basis.batch as f64 * round.latencies_ms.len() as f64 / round.elapsed_seconds;
    let throughput = Mean::of(&over(&rows))?;
    let requests = all.len();
    let cpu_seconds = rounds.iter().map(|round| round.cpu_seconds).sum::<Option<f64>>();
    let gflops = basis.flops.map(|flops| flops * throughput.mean / basis.batch as f64 / 1e9);
    let mean_of = |value: fn(&Round) -> f64| rounds.iter().map(value).sum::<f64>() / rounds.len() as f64;
    Some(Measurement {
        requests,
        mean_ms: round_mean.mean,
        mean_interval_ms: round_mean.interval(),
        p50_ms: quantile(&all, 0.5),
        p50_interval_ms: Mean::of(&round_p50_ms)?.interval(),
        p90_ms: quantile(&all, 0.9),
        p95_ms: quantile(&all, 0.95),
        p99_ms: quantile(&all, 0.99),
        max_ms: quantile(&all, 1.0),
        deviation_ms: pooled.deviation.unwrap_or(0.0),
        round_p50_ms,
        items_per_second: throughput.mean,
        items_per_second_interval: throughput.interval(),
        gflops,
        share_of_peak: gflops.zip(basis.peak).map(|(gflops, peak)| gflops / peak),
        load_ms: mean_of(|round| round.load_ms),
        first_ms: mean_of(|round| round.first_ms),
        peak_memory_bytes: rounds.iter().filter_map(|round| round.peak_memory_bytes).max(),
        cpu_seconds_per_request: cpu_seconds.map(|seconds| seconds / requests as f64),
        cpu_seconds,
        unsteady_rounds: rounds.iter().filter(|round| !round.steady).count(),
        unserved: rounds.iter().map(|round| round.unserved).sum(),
        nodes: rounds.first().map(|round| round.nodes.clone()).unwrap_or_default(),
        stages: stages(rounds, requests),
    })
}

/// Means over all requests.
fn stages(rounds: &[Round], requests: usize) -> Option<Stages> {
    let totals: Vec<Stages> = rounds.iter().filter_map(|round| round.stage_totals).collect();
    let mean = |of: fn(&Stages) -> f64| totals.iter().map(of).sum::<f64>() / requests as f64;
    (!totals.is_empty()).then(|| Stages {
        tokenize_ms: mean(|s| s.tokenize_ms),
        decode_ms: mean(|s| s.decode_ms),
        preprocess_ms: mean(|s| s.preprocess_ms),
        collate_ms: mean(|s| s.collate_ms),
        infer_ms: mean(|s| s.infer_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::testing::round;

    #[test]
    fn figures_are_those_of_the_rounds() {
        let rounds = [round(&[10.0, 12.0, 14.0]), round(&[11.0, 13.0, 15.0]), round(&[12.0, 14.0, 40.0])];
        let basis = Basis { batch: 4, flops: Some(2e9), peak: Some(400.0) };
        let m = summarize(&rounds, basis).unwrap();
        assert_eq!((m.requests, m.p50_ms, m.p99_ms, m.max_ms), (9, 13.0, 40.0, 40.0));
        assert_eq!(m.round_p50_ms, [12.0, 13.0, 14.0]);
        let [low, high] = m.p50_interval_ms.unwrap();
        assert!(
            (low - (13.0 - 4.3027 / 3f64.sqrt())).abs() < 1e-3 && (high - (13.0 + 4.3027 / 3f64.sqrt())).abs() < 1e-3
        );
        assert!((m.mean_ms - (12.0 + 13.0 + 22.0) / 3.0).abs() < 1e-9);
        // Rows a second of each round: 4 rows in the mean latency.
        let expected = [12.0, 13.0, 22.0].map(|ms| 4.0 * 1e3 / ms).iter().sum::<f64>() / 3.0;
        assert!((m.items_per_second - expected).abs() < 1e-9);
        assert!((m.gflops.unwrap() - 2.0 * expected / 4.0).abs() < 1e-9);
        assert!((m.share_of_peak.unwrap() - m.gflops.unwrap() / 400.0).abs() < 1e-12);
        assert_eq!((m.load_ms, m.first_ms, m.peak_memory_bytes), (100.0, 20.0, Some(1 << 20)));
        assert!((m.cpu_seconds_per_request.unwrap() - 0.02).abs() < 1e-9);
    }

    #[test]
    fn one_round_has_no_interval_and_none_no_figures() {
        let basis = Basis { batch: 1, flops: None, peak: None };
        let m = summarize(&[round(&[5.0])], basis).unwrap();
        assert_eq!((m.p50_interval_ms, m.gflops, m.deviation_ms), (None, None, 0.0));
        assert_eq!(summarize(&[], basis), None);
        assert_eq!(summarize(&[round(&[])], basis), None);
    }
}
