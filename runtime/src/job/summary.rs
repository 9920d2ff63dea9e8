//! What a job did, in figures.

use std::collections::BTreeMap;
use std::fmt;

use mbsd_spec::{RowError, Variant};
use serde::{Deserialize, Serialize};

use super::JobError;
use super::pipeline::Timing;
use super::score::Scored;

/// Counts and speed of a finished job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Rows of the input: products, or pairs for alignment.
    pub rows: u64,
    /// Rows with a result.
    pub scored: u64,
    /// Rows without one, by the code of their error.
    pub errors: BTreeMap<String, u64>,
    /// Products by the variant that took them.
    pub variants: BTreeMap<Variant, u64>,
    /// Products that went through the engine.
    pub products: u64,
    /// Questions answered: of `tag`, the tags of all products; otherwise one a product.
    #[serde(default)]
    pub questions: u64,
    /// How often a text was tokenized: once a distinct one, as far as the memory for them goes.
    #[serde(default)]
    pub texts_tokenized: u64,
    /// Rows that an earlier start of the job has done.
    #[serde(default, skip_serializing_if = "is_none")]
    pub earlier_rows: u64,
    /// Of [`Summary::products`], those of earlier starts.
    #[serde(skip)]
    pub(super) earlier_products: u64,
    /// Of [`Summary::questions`], those of earlier starts.
    #[serde(skip)]
    pub(super) earlier_questions: u64,
    /// Wall time, loading of graphs left out.
    pub seconds: f64,
    /// Time to load graphs.
    pub load_seconds: f64,
    /// Products of this start by `seconds`.
    pub products_per_second: f64,
    /// Questions of this start by `seconds`.
    #[serde(default)]
    pub questions_per_second: f64,
    /// Processor time by stage.
    #[serde(default)]
    pub stages: Stages,
    /// Cores that were busy on average: processor time by `seconds`.
    #[serde(default)]
    pub cores_used: f64,
    /// Cores there are for the process.
    #[serde(default)]
    pub cores: usize,
    /// The most memory the process has held, in bytes, where the system tells (Linux).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
}

/// Processor time in seconds, over all threads, loading of graphs left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    /// Rows from the input.
    pub read: f64,
    /// Images: reading, decoding, resizing.
    pub decode: f64,
    /// Texts to token ids.
    pub tokenize: f64,
    /// The graphs, and what is not counted elsewhere.
    pub infer: f64,
    /// Results to the output.
    pub write: f64,
    /// Share of the time that went to anything but `infer`.
    pub outside_inference: f64,
}

impl Summary {
    /// Counts a product's row: the graph that took it, or why none did.
    pub(super) fn count(&mut self, variant: Option<Variant>, error: Option<&RowError>) {
        if let Some(variant) = variant {
            self.products += 1;
            *self.variants.entry(variant).or_default() += 1;
        }
        match error {
            Some(error) => self.count_error(error),
            None => self.count_scored(),
        }
    }

    /// Counts the answers about a product.
    pub(super) fn count_questions(&mut self, questions: usize) {
        self.questions += questions as u64;
    }

    /// The error of a job in which more than `limit` rows have no result.
    pub(super) fn too_many(&self, limit: u64) -> JobError {
        let codes: Vec<String> = self.errors.iter().map(|(code, count)| format!("{count} x {code}")).collect();
        JobError::TooManyErrors { count: self.error_count(), limit, codes: codes.join(", ") }
    }

    /// Counts a row that has a result.
    pub(super) fn count_scored(&mut self) {
        self.rows += 1;
        self.scored += 1;
    }

    /// Counts a row that has none.
    pub(super) fn count_error(&mut self, error: &RowError) {
        self.rows += 1;
        *self.errors.entry(error.code.to_owned()).or_default() += 1;
    }

    /// Counts a product that went through the engine, or did not.
    pub(super) fn count_product(&mut self, scored: &Scored) {
        if let Ok(answer) = &scored.answer {
            self.products += 1;
            self.questions += answer.values.len() as u64;
            *self.variants.entry(answer.variant).or_default() += 1;
        }
    }

    pub(super) fn set_time(&mut self, timing: Timing) {
        self.seconds = timing.running.as_secs_f64();
        self.load_seconds = timing.loading.as_secs_f64();
        let products = (self.products - self.earlier_products) as f64;
        let rate = |count: f64| if self.seconds > 0.0 { count / self.seconds } else { 0.0 };
        self.products_per_second = rate(products);
        self.questions_per_second = rate((self.questions - self.earlier_questions) as f64);
        let seconds = |time: std::time::Duration| time.as_secs_f64();
        let [read, decode, tokenize, write] = [timing.read, timing.decode, timing.tokenize, timing.write].map(seconds);
        let (outside, total) = (read + decode + tokenize + write, seconds(timing.processor));
        let outside_inference = if total > 0.0 { (outside / total).min(1.0) } else { 0.0 };
        self.stages = Stages { read, decode, tokenize, infer: (total - outside).max(0.0), write, outside_inference };
        self.cores_used = rate(total);
        self.cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        self.texts_tokenized = timing.tokenized;
        self.peak_memory_bytes = timing.peak_memory;
    }

    /// Counts rows that an earlier start of the job has done.
    pub(super) fn add_earlier(&mut self, earlier: &Self) {
        self.rows += earlier.rows;
        self.scored += earlier.scored;
        self.products += earlier.products;
        self.earlier_rows += earlier.rows;
        self.earlier_products += earlier.products;
        self.questions += earlier.questions;
        self.earlier_questions += earlier.questions;
        for (code, count) in &earlier.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
        for (&variant, count) in &earlier.variants {
            *self.variants.entry(variant).or_default() += count;
        }
    }

    /// How many rows have no result.
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Whether there were rows, and none of them could be scored.
    pub fn nothing_scored(&self) -> bool {
        self.rows > 0 && self.scored == 0
    }
}

fn is_none(rows: &u64) -> bool {
    *rows == 0
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {} with a result", self.rows, self.scored)?;
        if !self.variants.is_empty() {
            let variants: Vec<String> =
                self.variants.iter().map(|(variant, count)| format!("{variant} {count}")).collect();
            write!(f, " ({})", variants.join(", "))?;
        }
        if self.earlier_rows > 0 {
            write!(f, ", {} rows done earlier", self.earlier_rows)?;
        }
        write!(
            f,
            "; {:.1} products/s, {:.1} answers/s over {:.1} s, graphs loaded in {:.1} s",
            self.products_per_second, self.questions_per_second, self.seconds, self.load_seconds
        )?;
        for (code, count) in &self.errors {
            write!(f, "\n  {count} x {code}")?;
        }
        if self.cores_used > 0.0 {
            let Stages { read, decode, tokenize, infer, write, outside_inference } = self.stages;
            write!(
                f,
                "\n  processor: read {read:.1} s, decode {decode:.1} s, tokenize {tokenize:.1} s, infer {infer:.1} s, write {write:.1} s \
                 ({:.1} % outside inference); {:.2} of {} cores busy",
                outside_inference * 100.0,
                self.cores_used,
                self.cores
            )?;
        }
        if let Some(bytes) = self.peak_memory_bytes {
            write!(f, "; at most {} MB of memory", bytes / 1_000_000)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_listed_by_code() {
        let mut summary = Summary { products: 3, seconds: 2.0, products_per_second: 1.5, ..Summary::default() };
        summary.variants.insert(Variant::Full, 3);
        assert!(!summary.nothing_scored());
        summary.count_error(&RowError::new("b", "x"));
        assert!(summary.nothing_scored());
        summary.count_error(&RowError::new("a", "x"));
        summary.count_error(&RowError::new("a", "y"));
        summary.count_scored();
        assert!(!summary.nothing_scored());
        assert_eq!(
            summary.to_string(),
            "4 rows, 1 with a result (full 3); 1.5 products/s, 0.0 answers/s over 2.0 s, graphs loaded in 0.0 s\n  2 x a\n  1 x b"
        );
    }
}
