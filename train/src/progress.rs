//! What a person sees of a run: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// Weight of the newest loss in the running mean that is shown.
const SMOOTHING: f64 = 0.02;

/// Progress of a run on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    steps: usize,
    started: Instant,
    last_line: Instant,
    samples: usize,
    taken: usize,
    loss: Option<f64>,
    terms: String,
}

impl Progress {
    pub(crate) fn new(steps: usize, step: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(steps as u64);
            let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg}  ETA {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_position(step as u64);
            bar.reset_eta();
            bar
        });
        let now = Instant::now();
        Self { bar, steps, started: now, last_line: now, samples: 0, taken: 0, loss: None, terms: String::new() }
    }

    /// The terms of the loss, to be shown from the next step on.
    pub(crate) fn terms(&mut self, terms: &[(&str, f64)]) {
        self.terms = terms.iter().map(|(name, value)| format!("  {name} {value:.4}")).collect();
    }

    /// Tells of one step; returns samples per second since the start.
    pub(crate) fn step(&mut self, step: usize, epoch: usize, loss: f64, samples: usize) -> f64 {
        self.samples += samples;
        self.taken += 1;
        let mean = self.loss.map_or(loss, |mean| mean + SMOOTHING.max(1.0 / self.taken as f64) * (loss - mean));
        self.loss = Some(mean);
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        let rate = self.samples as f64 / seconds;
        if let Some(bar) = &self.bar {
            bar.set_position(step as u64);
            bar.set_message(format!("epoch {epoch}  loss {mean:.4}{}  {rate:.0} samples/s", self.terms));
        } else if self.last_line.elapsed() >= EVERY {
            self.last_line = Instant::now();
            let left = seconds / self.taken as f64 * (self.steps - step.min(self.steps)) as f64;
            let left = Duration::from_secs(left as u64);
            let Self { steps, terms, .. } = &self;
            eprintln!("step {step}/{steps}  epoch {epoch}  loss {mean:.4}{terms}  {rate:.0} samples/s  ETA {left:?}");
        }
        rate
    }

    /// Prints a line that stays.
    pub(crate) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Leaves time that is not training out of the rate.
    pub(crate) fn pause<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.started += start.elapsed();
        result
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
