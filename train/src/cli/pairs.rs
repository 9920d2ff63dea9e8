//! `mbsd train pairs`: query-product pairs for stage 2.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::TrainError;
use crate::pairs::{
    LogInput, LogSource, PairSettings, PairsError, ProductsInput, Template, TermSources, USUAL_CLICKS, USUAL_TITLE,
    make_pairs,
};

/// Arguments of `pairs`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The products: Parquet, JSON Lines, CSV or TSV.
    #[arg(long, value_name = "FILE")]
    products: PathBuf,
    /// Where to write the pairs, .parquet or .jsonl.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    columns: ProductColumns,
    #[command(flatten)]
    terms: TermArguments,
    /// People who must have bought a product with a query for a positive.
    #[arg(long, value_name = "N", default_value_t = 2)]
    min_buyers: u32,
    /// Negatives for a positive from queries of the same category; 0.5 is one for every second positive.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.5)]
    same_category: f64,
    /// Negatives for a positive from its query with one term exchanged.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.5)]
    rewrite: f64,
    /// Decides every random choice.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Share of a file's rows that may be unusable.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    max_bad_rows: f64,
    /// Print the counts as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Purchases")]
struct LogArguments {
    /// A log of purchases and clicks: Parquet, JSON Lines, CSV or TSV.
    #[arg(long, value_name = "FILE", conflicts_with = "log_from", required_unless_present = "log_from")]
    log: Option<PathBuf>,
    /// Make a log instead: products are bought with the queries that describe them.
    #[arg(long, value_name = "WHAT", requires = "query")]
    log_from: Option<LogFrom>,
    /// A query of --log-from attributes, with columns in braces: "{colour} {gender} {type}"; may be repeated.
    #[arg(long, value_name = "TEMPLATE", requires = "log_from")]
    query: Vec<String>,
    /// Shoppers' words for attribute values, JSON: {"gender": {"Men": "men", "Unisex": ["men", "women"]}}.
    #[arg(long, value_name = "FILE")]
    words: Option<PathBuf>,
    /// The log's column of the query.
    #[arg(long, value_name = "NAME", default_value = "query")]
    query_column: String,
    /// The log's column of the product's id.
    #[arg(long, value_name = "NAME", default_value = "product")]
    product_column: String,
    /// The log's column of the number of buyers.
    #[arg(long, value_name = "NAME", default_value = "buyers")]
    buyers_column: String,
    /// The log's column of the number of clicks, where it has one.
    #[arg(long, value_name = "NAME", default_value = USUAL_CLICKS)]
    clicks_column: String,
    /// The columns of a log without a header line (CSV, TSV).
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    log_header: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFrom {
    /// The products' attributes, through --query.
    Attributes,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Products")]
struct ProductColumns {
    /// Column of the product's id.
    #[arg(long, value_name = "NAME", default_value = "id")]
    id_column: String,
    /// Column of the category.
    #[arg(long, value_name = "NAME", default_value = "category")]
    category_column: String,
    /// Column of the title, where there is one: no negative says what the title says.
    #[arg(long, value_name = "NAME", default_value = USUAL_TITLE)]
    title_column: String,
    /// The columns of products without a header line (CSV, TSV).
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    products_header: Option<Vec<String>>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Terms to exchange")]
struct TermArguments {
    /// A dictionary of typed terms, JSON {"type": ["term", ["same", "meaning"]]}; may be repeated.
    #[arg(long, value_name = "FILE")]
    terms: Vec<PathBuf>,
    /// Titles with annotated terms (a column `entities` of {type, text}); may be repeated.
    #[arg(long, value_name = "FILE")]
    terms_from_titles: Vec<PathBuf>,
    /// How often annotated titles must have a term.
    #[arg(long, value_name = "N", default_value_t = 2)]
    min_term_count: u64,
    /// Attribute columns of the products: the column is the type, its values are the terms.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    terms_from_columns: Vec<String>,
    /// The only types to exchange terms of; all by default.
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',')]
    term_types: Vec<String>,
    /// Save the dictionary that results.
    #[arg(long, value_name = "FILE")]
    save_terms: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), TrainError> {
    let settings = arguments.settings()?;
    let summary = make_pairs(&settings)?;
    if arguments.json {
        println!("{}", serde_json::json!(summary));
    } else {
        eprintln!("{summary}");
    }
    Ok(())
}

impl Arguments {
    fn settings(&self) -> Result<PairSettings, PairsError> {
        let Self { log, columns, terms, .. } = self;
        let log = match &log.log {
            Some(path) => LogSource::File(LogInput {
                path: path.clone(),
                query_column: log.query_column.clone(),
                product_column: log.product_column.clone(),
                buyers_column: log.buyers_column.clone(),
                clicks_column: log.clicks_column.clone(),
                header: log.log_header.clone(),
            }),
            None => {
                LogSource::Attributes(log.query.iter().map(|query| Template::parse(query)).collect::<Result<_, _>>()?)
            }
        };
        Ok(PairSettings {
            products: ProductsInput {
                path: self.products.clone(),
                id_column: columns.id_column.clone(),
                category_column: columns.category_column.clone(),
                title_column: columns.title_column.clone(),
                header: columns.products_header.clone(),
            },
            log,
            words: self.log.words.clone(),
            terms: TermSources {
                files: terms.terms.clone(),
                titles: terms.terms_from_titles.clone(),
                min_count: terms.min_term_count,
                columns: terms.terms_from_columns.clone(),
                types: terms.term_types.clone(),
                save: terms.save_terms.clone(),
            },
            min_buyers: self.min_buyers,
            same_category: self.same_category,
            rewrite: self.rewrite,
            seed: self.seed,
            max_bad_rows: self.max_bad_rows,
            output: self.output.clone(),
        })
    }
}
