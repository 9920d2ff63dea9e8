//! The machine's arithmetic peak: multiply-adds in registers, which touch no memory.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use pulp::{Arch, Simd, WithSimd};

/// Chains of multiply-adds that do not wait for each other: more than any processor has in flight.
const CHAINS: usize = 12;

/// Steps of a chain between two looks at the clock: tens of microseconds.
const STEPS: usize = 10_000;

/// `CHAINS * STEPS` multiply-adds of whole registers. Gives how many multiplications and additions of numbers they were.
struct Block;

impl WithSimd for Block {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (factor, term) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(1e-3)));
        let mut chains = [simd.splat_f32s(black_box(0.5)); CHAINS];
        for _ in 0..STEPS {
            for chain in &mut chains {
                *chain = simd.mul_add_f32s(*chain, factor, term);
            }
        }
        let sum = chains.into_iter().fold(simd.splat_f32s(0.0), |sum, chain| simd.add_f32s(sum, chain));
        black_box(simd.reduce_sum_f32s(sum));
        let lanes = size_of::<S::f32s>() / size_of::<f32>();
        2.0 * (CHAINS * STEPS * lanes) as f64
    }
}

/// Single-precision GFLOP/s of `threads` threads, the best of stretches of 20 ms over about `time`.
pub(super) fn gflops(threads: usize, time: Duration) -> f64 {
    let arch = Arch::new();
    let start = Instant::now();
    let mut best = 0f64;
    while best == 0.0 || start.elapsed() < time {
        let flops: f64 = on_threads(threads, || {
            let start = Instant::now();
            let mut flops = 0.0;
            while start.elapsed() < Duration::from_millis(20) {
                flops += arch.dispatch(Block);
            }
            flops / start.elapsed().as_secs_f64()
        });
        best = best.max(flops);
    }
    best / 1e9
}

/// Milliseconds until `threads` threads have each done the same piece of arithmetic, of about 2 ms.
pub(super) fn probe(threads: usize) -> f64 {
    let arch = Arch::new();
    let start = Instant::now();
    on_threads(threads, || (0..60).map(|_| arch.dispatch(Block)).sum());
    start.elapsed().as_secs_f64() * 1e3
}

/// The sum over threads.
fn on_threads(threads: usize, work: impl Fn() -> f64 + Sync) -> f64 {
    thread::scope(|scope| {
        let started: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(&work)).collect();
        started.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_peak() {
        // Any processor of this century does a multiply-add of one number a nanosecond.
        let peak = gflops(1, Duration::from_millis(20));
        assert!(peak > 0.1 && peak < 1e5, "{peak} GFLOP/s");
        assert!(probe(2) > 0.0);
    }
}
