//! `mbsd train tokenizer`: a WordPiece vocabulary of one's own.

use std::path::{Path, PathBuf};

use clap::Args;
use mbsd_data::staged::{make_folder_of, write_whole};
use mbsd_data::{DuplicateIds, Keep, ProductOptions, Products};
use mbsd_spec::text::Tokenizer;

use crate::TrainError;
use crate::checkpoint::read_lines;
use crate::pairs::{RowCount, check_apart};

/// Arguments of `tokenizer`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Text to learn from, may be repeated: products (Parquet, JSON Lines, CSV or TSV), whose titles are taken, or a .txt with
    /// a text a line, such as tags.
    #[arg(long, value_name = "FILE", required = true)]
    input: Vec<PathBuf>,
    /// Column of the text in product files.
    #[arg(long, default_value = "title")]
    title_column: String,
    /// Column of the id in product files.
    #[arg(long, default_value = "id")]
    id_column: String,
    /// Entries of the vocabulary, at most.
    #[arg(long, default_value_t = 8000)]
    vocab_size: usize,
    /// Share of a product file's rows that may be unusable.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    max_bad_rows: f64,
    /// Tell capitals from small letters.
    #[arg(long)]
    cased: bool,
    /// Where to write tokenizer.json.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), TrainError> {
    check_apart("--out", &arguments.out, arguments.input.iter().map(PathBuf::as_path))?;
    let mut texts = Vec::new();
    for path in &arguments.input {
        let before = texts.len();
        match path.extension().is_some_and(|extension| extension == "txt") {
            true => texts.extend(read_lines(path)?),
            false => texts.extend(titles(arguments, path)?),
        }
        if texts.len() == before {
            return Err(TrainError::NoRows { path: path.clone(), reason: "it holds no text".to_owned() });
        }
    }
    let count = texts.len();
    let tokenizer = Tokenizer::train(texts, arguments.vocab_size, !arguments.cased)?;
    make_folder_of(&arguments.out)
        .and_then(|()| write_whole(&arguments.out, &tokenizer.to_json()))
        .map_err(TrainError::io("write", &arguments.out))?;
    eprintln!("{}: {} entries from {count} texts", arguments.out.display(), tokenizer.vocab_size());
    Ok(())
}

/// The titles of a file. Rows without one are left out, and rows that cannot be read are named, up to the limit.
fn titles(arguments: &Arguments, path: &Path) -> Result<Vec<String>, TrainError> {
    let options = ProductOptions {
        id_column: arguments.id_column.clone(),
        title_column: arguments.title_column.clone(),
        named_columns_exist: true,
        keep: Keep::Named(Vec::new()),
        duplicate_ids: DuplicateIds::Allow,
        ..ProductOptions::default()
    };
    let mut count = RowCount::default();
    let mut titles = Vec::new();
    for product in Products::open(path, &options)? {
        count.rows += 1;
        match product {
            Ok(product) => titles.extend(product.title),
            Err(bad) => count.unreadable("products", bad, path)?,
        }
    }
    count.named.iter().for_each(|row| eprintln!("left out: {row}"));
    count.check(path, arguments.max_bad_rows)?;
    Ok(titles)
}
