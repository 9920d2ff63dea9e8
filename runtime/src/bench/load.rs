//! How requests come: one after the other, from every side at once, or when they please.
//!
//! The generators know time through a [`Clock`] only, so that tests run them on a simulated one.

use std::fmt;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "load", rename_all = "snake_case")]
pub enum Load {
    /// Closed loop: one session with all threads, the next request when the last is answered. Latency.
    Closed,
    /// A session a thread, each always busy. Throughput.
    Saturated,
    /// Open loop: one session with all threads, requests at random (Poisson) moments whether it is free or not. Latency counts
    /// from the moment a request was due, so that waiting is in it.
    Open {
        /// Requests a second.
        rate: f64,
    },
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Saturated => f.write_str("saturated"),
            Self::Open { rate } => write!(f, "open {rate}/s"),
        }
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("unknown load `{text}`: use closed, saturated, or open:RATE with requests a second");
        match text {
            "closed" => Ok(Self::Closed),
            "saturated" => Ok(Self::Saturated),
            _ => {
                let rate = text.strip_prefix("open:").and_then(|rate| rate.parse::<f64>().ok());
                rate.filter(|rate| rate.is_finite() && *rate > 0.0).map(|rate| Self::Open { rate }).ok_or_else(wrong)
            }
        }
    }
}

/// Time as the generators see it.
pub(super) trait Clock: Sync {
    /// Time since some beginning.
    fn now(&self) -> Duration;
    /// Returns when `moment` has come, at once where it has passed.
    fn wait_until(&self, moment: Duration);
}

/// The machine's time.
pub(super) struct Wall(Instant);

impl Wall {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Wall {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait_until(&self, moment: Duration) {
        /// A sleep may end this much late; the rest is waited awake.
        const SLACK: Duration = Duration::from_micros(200);
        if let Some(rest) = moment.checked_sub(self.now() + SLACK) {
            thread::sleep(rest);
        }
        while self.now() < moment {
            std::hint::spin_loop();
        }
    }
}

/// How long a measurement goes on: until both are reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) time: Duration,
    pub(super) requests: usize,
}

/// Latencies of requests.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Measured {
    pub(super) latencies: Vec<Duration>,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
    /// Requests that were due and never served.
    pub(super) unserved: usize,
}

/// One request after the other.
pub(super) fn closed<E>(
    clock: &impl Clock,
    extent: Extent,
    mut request: impl FnMut() -> Result<(), E>,
) -> Result<Measured, E> {
    let start = clock.now();
    let mut latencies = Vec::new();
    let mut before = start;
    while before - start < extent.time || latencies.len() < extent.requests {
        request()?;
        let after = clock.now();
        latencies.push(after - before);
        before = after;
    }
    Ok(Measured { latencies, elapsed: before - start, unserved: 0 })
}

/// One request after the other from each of several clients at once.
pub(super) fn saturated<E: Send>(
    clock: &impl Clock,
    extent: Extent,
    clients: Vec<impl FnMut() -> Result<(), E> + Send>,
) -> Result<Measured, E> {
    let start = clock.now();
    let of_clients = thread::scope(|scope| {
        let started: Vec<_> =
            clients.into_iter().map(|client| scope.spawn(move || closed(clock, extent, client))).collect();
        started.into_iter().map(|client| client.join()).collect::<Vec<_>>()
    });
    let mut all = Measured::default();
    for client in of_clients {
        // A request does not panic: sessions turn panics into errors.
        let client = client.unwrap_or_else(|payload| std::panic::resume_unwind(payload))?;
        all.latencies.extend(client.latencies);
    }
    all.elapsed = clock.now() - start;
    Ok(all)
}

/// Moments at which requests are due, exponentially distributed distances apart, as many as come within `extent`.
pub(super) fn arrivals(rate: f64, extent: Extent, seed: u64) -> Vec<Duration> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut moments = Vec::new();
    let mut at = 0.0;
    loop {
        // In (0, 1], of which the logarithm is finite.
        let uniform = 1.0 - random.random::<f64>();
        at -= uniform.ln() / rate;
        if at >= extent.time.as_secs_f64() && moments.len() >= extent.requests {
            return moments;
        }
        moments.push(Duration::from_secs_f64(at));
    }
}

/// Requests when they are due, in their order, served by one. What is not begun after twice the time of the arrivals is given
/// up: the rate is more than can be kept up, and waiting would only grow.
pub(super) fn open<E>(
    clock: &impl Clock,
    arrivals: &[Duration],
    mut request: impl FnMut() -> Result<(), E>,
) -> Result<Measured, E> {
    let start = clock.now();
    let end = arrivals.last().map_or(start, |last| start + 2 * *last);
    let mut latencies = Vec::with_capacity(arrivals.len());
    for due in arrivals.iter().map(|due| start + *due) {
        clock.wait_until(due);
        if clock.now() > end {
            break;
        }
        request()?;
        latencies.push(clock.now() - due);
    }
    Ok(Measured { elapsed: clock.now() - start, unserved: arrivals.len() - latencies.len(), latencies })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Time that passes only where something is waited for or worked on, in microseconds.
    struct Simulated(AtomicU64);

    impl Simulated {
        fn start() -> Self {
            Self(AtomicU64::new(1_000_000))
        }

        fn work(&self, microseconds: u64) -> Result<(), Infallible> {
            self.0.fetch_add(microseconds, Ordering::SeqCst);
            Ok(())
        }
    }

    impl Clock for Simulated {
        fn now(&self) -> Duration {
            Duration::from_micros(self.0.load(Ordering::SeqCst))
        }

        fn wait_until(&self, moment: Duration) {
            self.0.fetch_max(moment.as_micros() as u64, Ordering::SeqCst);
        }
    }

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_closed_loop_goes_on_until_both_limits_are_reached() {
        let clock = Simulated::start();
        let extent = Extent { time: ms(100), requests: 3 };
        let measured = closed(&clock, extent, || clock.work(30_000)).unwrap();
        assert_eq!(measured.latencies, [ms(30); 4]);
        assert_eq!(measured.elapsed, ms(120));
        let slow = closed(&clock, extent, || clock.work(500_000)).unwrap();
        assert_eq!(slow.latencies.len(), 3);
    }

    #[test]
    fn a_failed_request_ends_the_measurement() {
        let clock = Simulated::start();
        let mut left = 2;
        let failed = closed(&clock, Extent { time: ms(100), requests: 3 }, || {
            clock.work(1000).unwrap();
            left -= 1;
            if left == 0 { Err("out of memory") } else { Ok(()) }
        });
        assert_eq!(failed, Err("out of memory"));
    }

    #[test]
    fn clients_are_measured_together() {
        let clock = Simulated::start();
        let client = || || clock.work(1000);
        let measured = saturated(&clock, Extent { time: ms(0), requests: 5 }, vec![client(), client()]).unwrap();
        assert_eq!(measured.latencies.len(), 10);
        assert_eq!(measured.elapsed, ms(10));
    }

    /// Three requests due at 10, 12 and 50 ms, each of 20 ms: the second waits for the first.
    #[test]
    fn latency_of_an_open_loop_counts_from_when_a_request_was_due() {
        let clock = Simulated::start();
        let measured = open(&clock, &[ms(10), ms(12), ms(50)], || clock.work(20_000)).unwrap();
        assert_eq!(measured.latencies, [ms(20), ms(38), ms(20)]);
        assert_eq!((measured.elapsed, measured.unserved), (ms(70), 0));
    }

    #[test]
    fn a_rate_beyond_what_can_be_served_is_given_up() {
        let clock = Simulated::start();
        let due: Vec<Duration> = (1..=100).map(ms).collect();
        let measured = open(&clock, &due, || clock.work(10_000)).unwrap();
        // Begun until 200 ms: one at 1 ms and each 10 ms after.
        assert_eq!((measured.latencies.len(), measured.unserved), (20, 80));
        assert_eq!(measured.latencies[19], ms(201 - 20));
    }

    #[test]
    fn arrivals_are_poisson_and_the_same_each_time() {
        let extent = Extent { time: Duration::from_secs(1000), requests: 0 };
        let moments = arrivals(20.0, extent, 7);
        assert_eq!(moments, arrivals(20.0, extent, 7));
        assert_ne!(moments, arrivals(20.0, extent, 8));
        assert!(moments.windows(2).all(|pair| pair[0] <= pair[1]));
        let rate = moments.len() as f64 / 1000.0;
        assert!((rate - 20.0).abs() < 0.5, "{rate} a second");
        // Distances of a Poisson process have a deviation as large as their mean.
        let distances: Vec<f64> = moments.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let of = mbsd_spec::statistics::Mean::of(&distances).unwrap();
        assert!((of.deviation.unwrap() / of.mean - 1.0).abs() < 0.05);
        assert_eq!(arrivals(0.1, Extent { time: ms(100), requests: 4 }, 1).len(), 4);
    }

    #[test]
    fn loads_are_read_as_they_are_meant() {
        assert_eq!("open:2.5".parse(), Ok(Load::Open { rate: 2.5 }));
        assert_eq!("saturated".parse(), Ok(Load::Saturated));
        for wrong in ["open", "open:0", "open:inf", "open:-1", "busy"] {
            let error = wrong.parse::<Load>().unwrap_err();
            assert!(error.contains("use closed, saturated, or open:RATE"), "{error}");
        }
    }
}
