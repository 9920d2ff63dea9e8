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

use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

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
        let started = SystemTime::now();
        let mut results = self.report()?;
        let mut left: Vec<usize> = (0..self.cells.len()).collect();
        let mut told = BTreeSet::new();
        loop {
            let mut busy = Vec::new();
            for &index in &left {
                let cell = &self.cells[index];
                let Some(&last) = cell.runs.last() else { continue };
                if !told.contains(&index) {
                    eprintln!("cell {}/{}: {}", index + 1, self.cells.len(), self.title(cell));
                }
                match self.finish(last, devices, started) {
                    Ok(None) => {}
                    Ok(Some(failure)) => eprintln!("{}: {failure}", self.title(cell)),
                    Err(TrainError::Busy { path }) => {
                        if told.insert(index) {
                            eprintln!("{} is trained by another process", path.display());
                        }
                        busy.push(index);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                results = self.report()?;
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
    /// diverged since this study was `started`, here or in another process.
    fn finish(&self, index: usize, devices: &[Device], started: SystemTime) -> Result<Option<String>, TrainError> {
        let planned = &self.runs[index];
        if planned.finished()?.is_some() {
            return Ok(None);
        }
        for needed in planned.previous.into_iter().chain(planned.teacher) {
            if let Some(failure) = self.finish(needed, devices, started)? {
                return Ok(Some(failure));
            }
        }
        if let Some(failure) = planned.diverged(started)? {
            return Ok(Some(failure));
        }
        eprintln!("{}", planned.run.output.display());
        match train(&planned.run, Span { resume: true, ..Span::default() }, devices) {
            Err(TrainError::Diverged { .. }) => planned.diverged(started),
            Err(error) => Err(error),
            Ok(_) => Ok(None),
        }
    }

    /// Writes `results.json`, `table.md` and `ablation.html` of what is finished.
    ///
    /// # Errors
    /// [`TrainError::Io`] and [`TrainError::Resume`].
    pub fn report(&self) -> Result<Results, TrainError> {
        let results = Results::collect(self)?;
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
