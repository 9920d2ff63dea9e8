//! Ablation studies: rows of runs that differ in a few keys, each with several seeds, as one table (paper, section 4.7).
//! `docs/training.md` documents the file and what comes of it.
//!
//! [`Ablation`] (the file) -> [`Plan`] (every run once) -> [`Plan::run`] -> [`Results`].

mod file;
mod page;
mod plan;
mod plot;
mod results;
mod statistics;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use burn::tensor::Device;
use mbsd_data::staged::write_whole;

pub use file::{Ablation, Changes, Row, Stage, UniModal};
pub use plan::{Cell, Plan, PlannedRun};
pub use results::{CellResult, Distilled, Measure, Results, RowResult, Summary};
pub use statistics::Spread;

use crate::{Span, TrainError, train};

/// Between two looks at what other processes train.
const WAIT: Duration = Duration::from_secs(2);

impl Plan {
    /// Trains what is not finished yet, on `devices` as [`train`] does, and writes the tables anew after
    /// each cell. A run that diverges ends its cell and is noted; the others go on. Several processes may share the work:
    /// each leaves to the others what they train, and waits for it at the end.
    ///
    /// # Errors
    /// See [`TrainError`].
    pub fn run(&self, devices: &[Device]) -> Result<Results, TrainError> {
        let (mut failures, mut diverged) = (BTreeMap::new(), BTreeMap::new());
        let mut results = self.report(&failures)?;
        let mut left: Vec<usize> = (0..self.cells.len()).collect();
        loop {
            let mut busy = Vec::new();
            for &index in &left {
                let cell = &self.cells[index];
                let Some(&last) = cell.runs.last() else { continue };
                eprintln!("cell {}/{}: {}", index + 1, self.cells.len(), self.title(cell));
                match self.finish(last, devices, &mut diverged) {
                    Ok(None) => {}
                    Ok(Some(failure)) => {
                        eprintln!("{}: {failure}", self.title(cell));
                        failures.insert(index, failure);
                    }
                    Err(TrainError::Busy { path }) => {
                        eprintln!("{} is trained by another process", path.display());
                        busy.push(index);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                results = self.report(&failures)?;
            }
            if busy.is_empty() {
                return Ok(results);
            }
            if busy == left {
                sleep(WAIT);
            }
            left = busy;
        }
    }

    /// What people call a cell.
    pub fn title(&self, cell: &Cell) -> String {
        format!("{}, seed {}", self.ablation.rows[cell.row].name, cell.seed)
    }

    /// Trains a run, those that it starts from and its teacher, as far as they are not finished. What it returns is why one of them
    /// diverged, which `diverged` holds by run.
    fn finish(
        &self,
        index: usize,
        devices: &[Device],
        diverged: &mut BTreeMap<usize, String>,
    ) -> Result<Option<String>, TrainError> {
        let planned = &self.runs[index];
        if diverged.contains_key(&index) || planned.finished()?.is_some() {
            return Ok(diverged.get(&index).cloned());
        }
        for needed in planned.previous.into_iter().chain(planned.teacher) {
            if let Some(failure) = self.finish(needed, devices, diverged)? {
                return Ok(Some(failure));
            }
        }
        eprintln!("{}", planned.run.output.display());
        match train(&planned.run, Span { resume: true, ..Span::default() }, devices) {
            Err(error @ TrainError::Diverged { .. }) => {
                let failure = format!("{}: {error}", planned.name);
                diverged.insert(index, failure.clone());
                Ok(Some(failure))
            }
            Err(error) => Err(error),
            Ok(_) => Ok(None),
        }
    }

    /// Writes `results.json`, `table.md` and `ablation.html` of what is finished.
    ///
    /// # Errors
    /// [`TrainError::Io`] and [`TrainError::Resume`].
    pub fn report(&self, failures: &BTreeMap<usize, String>) -> Result<Results, TrainError> {
        let results = Results::collect(self, failures)?;
        let output = &self.ablation.output;
        fs::create_dir_all(output).map_err(TrainError::io("create", output))?;
        let json = serde_json::to_string_pretty(&results).expect("structs of plain fields are JSON");
        for (name, text) in [
            ("results.json", json + "\n"),
            ("table.md", table::markdown(&results)),
            ("ablation.html", page::page(&results)),
        ] {
            let path = output.join(name);
            write_whole(&path, &text).map_err(TrainError::io("write", &path))?;
        }
        Ok(results)
    }
}
