//! `mbsd train duplicates`: pairs of products for alignment.

use std::path::PathBuf;

use clap::Args;

use crate::TrainError;
use crate::pairs::{DuplicateSettings, make_duplicates};

/// Arguments of `duplicates`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The products: Parquet, JSON Lines, CSV or TSV.
    #[arg(long, value_name = "FILE")]
    products: PathBuf,
    /// Where to write the pairs, .jsonl.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// The column whose equal values are one product under several ids.
    #[arg(long, value_name = "NAME", default_value = "title")]
    group_column: String,
    /// The column in which a product and its negatives agree.
    #[arg(long, value_name = "NAME", default_value = "category")]
    category_column: String,
    /// Column of the product's id.
    #[arg(long, value_name = "NAME", default_value = "id")]
    id_column: String,
    /// Products that a group may have; larger ones are left out.
    #[arg(long, value_name = "N", default_value_t = 5)]
    largest_group: usize,
    /// Negatives of the same category for each positive.
    #[arg(long, value_name = "N", default_value_t = 1)]
    negatives: usize,
    /// Negatives of other categories for each positive, for models that search a whole catalogue.
    #[arg(long, value_name = "N", default_value_t = 0)]
    other_category: usize,
    /// Decides every random choice.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Share of the rows that may be unusable.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    max_bad_rows: f64,
    /// Print the counts as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), TrainError> {
    let summary = make_duplicates(&DuplicateSettings {
        products: arguments.products.clone(),
        id_column: arguments.id_column.clone(),
        group_column: arguments.group_column.clone(),
        category_column: arguments.category_column.clone(),
        largest_group: arguments.largest_group,
        negatives: arguments.negatives,
        other_category: arguments.other_category,
        seed: arguments.seed,
        max_bad_rows: arguments.max_bad_rows,
        output: arguments.output.clone(),
    })?;
    if arguments.json {
        println!("{}", serde_json::json!(summary));
    } else {
        eprintln!("{summary}");
    }
    Ok(())
}
