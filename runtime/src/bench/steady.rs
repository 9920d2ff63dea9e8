//! Warming up: requests until latency has settled.

use std::time::Duration;

use mbsd_spec::statistics::median;

use super::load::Clock;

/// The time over which a median is taken, where a request is shorter.
const BLOCK: Duration = Duration::from_millis(50);

/// How far the medians of two blocks may be apart.
const TOLERANCE: f64 = 0.05;

/// Sends requests until two successive blocks of them have the same median latency within [`TOLERANCE`], or `limit` has
/// passed. Whether it settled.
pub(super) fn warm_up<E>(
    clock: &impl Clock,
    limit: Duration,
    mut request: impl FnMut() -> Result<(), E>,
) -> Result<bool, E> {
    let start = clock.now();
    let mut last: Option<f64> = None;
    loop {
        let begin = clock.now();
        let mut block = Vec::new();
        let mut before = begin;
        while block.is_empty() || before - begin < BLOCK {
            request()?;
            let after = clock.now();
            block.push((after - before).as_secs_f64());
            before = after;
        }
        let own = median(&block);
        if last.is_some_and(|last| (own - last).abs() <= TOLERANCE * last) {
            return Ok(true);
        }
        if before - start >= limit {
            return Ok(false);
        }
        last = Some(own);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;
    use std::sync::Mutex;

    use super::*;

    struct Simulated(Mutex<Duration>);

    impl Clock for Simulated {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn wait_until(&self, _: Duration) {}
    }

    /// Warms up with requests of these latencies, the last of them again and again; whether it settled, and after how many.
    fn warmed(latencies: &[u64], limit: u64) -> (bool, usize) {
        let clock = Simulated(Mutex::new(Duration::ZERO));
        let sent = Cell::new(0);
        let steady = warm_up(&clock, Duration::from_millis(limit), || {
            let latency = latencies[sent.get().min(latencies.len() - 1)];
            sent.set(sent.get() + 1);
            *clock.0.lock().unwrap() += Duration::from_millis(latency);
            Ok::<(), Infallible>(())
        });
        (steady.unwrap(), sent.get())
    }

    #[test]
    fn it_ends_when_latency_has_settled() {
        assert_eq!(warmed(&[900, 400, 210, 205], 10_000), (true, 4));
        // Blocks of fast requests are compared, not single requests.
        assert_eq!(warmed(&[10], 10_000), (true, 10));
    }

    #[test]
    fn it_gives_up_at_the_limit() {
        let growing: Vec<u64> = (0..20).map(|i| 100 << i).collect();
        assert_eq!(warmed(&growing, 1000), (false, 4));
    }
}
