//! How far a pass over the rows is: a bar on a terminal, a line at its end elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    what: String,
    start: Instant,
}

impl Progress {
    pub(crate) fn new(what: &str, total: Option<u64>) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let template = match total {
                Some(_) => "{msg}: {wide_bar} {pos}/{len} rows, {eta} left",
                None => "{msg}: {spinner} {pos} rows",
            };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.with_style(style).with_message(what.to_owned())
        });
        Self { bar, what: what.to_owned(), start: Instant::now() }
    }

    pub(crate) fn set(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    pub(crate) fn finish(&self) {
        match &self.bar {
            Some(bar) => bar.finish_and_clear(),
            // The error stream may be closed; the work goes on.
            None => drop(writeln!(stderr(), "{}: {:.1} s", self.what, self.start.elapsed().as_secs_f64())),
        }
    }
}
