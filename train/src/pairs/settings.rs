//! What is asked for, checked before anything is read.

use std::path::{Path, PathBuf};

use super::catalogue::ProductsInput;
use super::log::LogInput;
use super::template::Template;
use super::terms::TermSources;
use super::{PairsError, write};

/// Negatives of one kind for a positive, at most.
const MOST_NEGATIVES: f64 = 100.0;

/// How pairs are made.
#[derive(Debug, Clone)]
pub struct PairSettings {
    /// The products.
    pub products: ProductsInput,
    /// What people did.
    pub log: LogSource,
    /// A JSON map of attribute values to words, see [`Wording`](super::Wording).
    pub words: Option<PathBuf>,
    /// Typed terms for rewriting.
    pub terms: TermSources,
    /// People who must have bought a product with a query for a positive.
    pub min_buyers: u32,
    /// Negatives from queries of the same category for a positive, on average.
    pub same_category: f64,
    /// Negatives from rewritten queries for a positive, on average.
    pub rewrite: f64,
    /// Decides every random choice.
    pub seed: u64,
    /// Share of a file's rows that may be unusable.
    pub max_bad_rows: f64,
    /// `.parquet` or `.jsonl`.
    pub output: PathBuf,
}

/// Where queries come from.
#[derive(Debug, Clone)]
pub enum LogSource {
    /// A log of purchases and clicks.
    File(LogInput),
    /// The products' attributes, through templates.
    Attributes(Vec<Template>),
}

impl PairSettings {
    /// # Errors
    /// [`PairsError::Setting`] and what is wrong with the name of the output.
    pub(super) fn check(&self) -> Result<(), PairsError> {
        let wrong = |what: String| Err(PairsError::Setting(what));
        for (name, value) in [("--same-category", self.same_category), ("--rewrite", self.rewrite)] {
            if !(0.0..=MOST_NEGATIVES).contains(&value) {
                return wrong(format!("{name} {value}: it is not between 0 and {MOST_NEGATIVES}"));
            }
        }
        if !(0.0..=1.0).contains(&self.max_bad_rows) {
            return wrong(format!("--max-bad-rows {}: it is not between 0 and 1", self.max_bad_rows));
        }
        if self.min_buyers == 0 {
            return wrong("--min-buyers 0: clicks are no positives; use 1 or more".to_owned());
        }
        if self.rewrite > 0.0 && self.terms.is_empty() {
            return wrong(
                "rewriting needs typed terms: give --terms, --terms-from-titles or --terms-from-columns, or use \
                 --rewrite 0 --same-category 1"
                    .to_owned(),
            );
        }
        if matches!(&self.log, LogSource::Attributes(templates) if templates.is_empty()) {
            return wrong("--log-from attributes needs a --query, such as --query \"{colour} {type}\"".to_owned());
        }
        write::check_name(&self.output)?;
        write::check_apart("--output", &self.output, self.inputs())?;
        if let Some(save) = &self.terms.save {
            // A dictionary may be read and saved in one place: it is read whole before.
            let others = self.inputs().filter(|&input| !self.terms.files.iter().any(|file| file == input));
            write::check_apart("--save-terms", save, others)?;
            if *save == self.output {
                return wrong(format!("--save-terms {} is the output as well", save.display()));
            }
        }
        Ok(())
    }

    fn inputs(&self) -> impl Iterator<Item = &Path> {
        let log = match &self.log {
            LogSource::File(log) => Some(&log.path),
            LogSource::Attributes(_) => None,
        };
        let files = self.terms.files.iter().chain(&self.terms.titles).chain(&self.words);
        files.chain(log).chain([&self.products.path]).map(PathBuf::as_path)
    }

    /// The attribute columns of templates and terms, each once.
    pub(super) fn columns(&self) -> Vec<String> {
        let mut columns = self.terms.columns.clone();
        if let LogSource::Attributes(templates) = &self.log {
            columns.extend(templates.iter().flat_map(Template::columns).map(str::to_owned));
        }
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}
