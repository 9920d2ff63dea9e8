//! What was made of what.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Counts of a run, as JSON or for people.
#[derive(Debug, Clone, Default, Serialize, PartialEq)]
pub struct Summary {
    /// Rows of the log; 0 where it is made from attributes.
    pub log_rows: u64,
    /// Those that cannot be used.
    pub bad_log_rows: u64,
    /// Those with neither buyers nor clicks.
    pub impressions: u64,
    /// Those of products that the catalogue does not have.
    pub unknown_products: u64,
    /// Rows of the products file.
    pub product_rows: u64,
    /// Those that cannot be used.
    pub bad_product_rows: u64,
    /// Distinct queries.
    pub queries: u64,
    /// Distinct queries with a product, by purchase or click.
    pub behaviours: u64,
    /// Terms of each type.
    pub terms: BTreeMap<String, usize>,
    /// Products with a positive.
    pub products: u64,
    /// Pairs of label 1.
    pub positives: u64,
    /// Pairs of label 0 from other queries of the category.
    pub same_category: u64,
    /// Pairs of label 0 from rewritten queries.
    pub rewrite: u64,
    /// Positives that hold a typed term.
    pub positives_with_term: u64,
    /// Positives for which no negative was found.
    pub positives_without_negative: u64,
    /// Negatives that were asked for and not found.
    pub missing_negatives: u64,
    /// What is wrong with the first bad rows of each file.
    pub bad_rows: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.bad_rows {
            writeln!(f, "left out: {row}")?;
        }
        if self.log_rows > 0 {
            writeln!(
                f,
                "log: {} rows, {} bad, {} impressions, {} of unknown products",
                self.log_rows, self.bad_log_rows, self.impressions, self.unknown_products
            )?;
        }
        writeln!(f, "products: {} rows, {} bad", self.product_rows, self.bad_product_rows)?;
        writeln!(f, "queries: {}, with products: {}", self.queries, self.behaviours)?;
        let terms: Vec<String> = self.terms.iter().map(|(ty, count)| format!("{ty} {count}")).collect();
        if !terms.is_empty() {
            writeln!(
                f,
                "terms: {}; in {} of {} positives",
                terms.join(", "),
                self.positives_with_term,
                self.positives
            )?;
        }
        writeln!(
            f,
            "pairs: {} positive ({} products), {} negative (same category {}, rewrite {})",
            self.positives,
            self.products,
            self.same_category + self.rewrite,
            self.same_category,
            self.rewrite
        )?;
        writeln!(
            f,
            "positives without a negative: {}; negatives not found: {}",
            self.positives_without_negative, self.missing_negatives
        )?;
        write!(f, "seconds: {:.1}", self.seconds)
    }
}
