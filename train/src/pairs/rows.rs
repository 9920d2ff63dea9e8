//! Reading files row by row: bad rows are counted, the first ones named, and too many of them are an error.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mbsd_data::BadRow;

use super::PairsError;

/// Bad rows that are named.
const NAMED: usize = 20;

/// Between two lines of progress where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// The rows of one file.
#[derive(Debug, Default)]
pub(crate) struct RowCount {
    /// All rows so far.
    pub(crate) rows: u64,
    /// Those that cannot be used.
    pub(crate) bad: u64,
    /// What is wrong with the first of them.
    pub(crate) named: Vec<String>,
}

impl RowCount {
    pub(crate) fn bad(&mut self, what: impl std::fmt::Display) {
        self.bad += 1;
        if self.named.len() < NAMED {
            self.named.push(what.to_string());
        }
    }

    /// A row that cannot be read, of a file that people call `what`.
    ///
    /// # Errors
    /// [`PairsError::Data`] if the rows from here on are lost: a part of a file is no whole one with bad rows.
    pub(crate) fn unreadable(&mut self, what: &str, bad: BadRow, path: &Path) -> Result<(), PairsError> {
        self.bad(format_args!("{what} {}", bad.or_input_lost(path)?));
        Ok(())
    }

    /// # Errors
    /// [`PairsError::BadRows`] if a larger share than `most` is bad.
    pub(crate) fn check(&self, path: &Path, most: f64) -> Result<(), PairsError> {
        if self.bad as f64 <= most * self.rows as f64 {
            return Ok(());
        }
        let first = self.named.first().cloned().unwrap_or_default();
        Err(PairsError::BadRows { path: path.to_owned(), bad: self.bad, rows: self.rows, first })
    }
}

/// Progress on standard error: a bar on a terminal, a line every few seconds elsewhere.
pub(super) struct Meter {
    what: &'static str,
    bar: Option<ProgressBar>,
    done: u64,
    last_line: Instant,
}

impl Meter {
    pub(super) fn new(what: &'static str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
            let template = if total.is_some() { "{msg}  {bar:32} {pos}/{len}  ETA {eta}" } else { "{msg}  {pos}" };
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.with_message(what)
        });
        Self { what, bar, done: 0, last_line: Instant::now() }
    }

    pub(super) fn step(&mut self, by: u64) {
        self.done += by;
        match &self.bar {
            Some(bar) => bar.inc(by),
            None if self.last_line.elapsed() >= EVERY => {
                self.last_line = Instant::now();
                eprintln!("{}: {}", self.what, self.done);
            }
            None => {}
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
