//! The products of a file in memory: titles as token ids, images resized.

use std::borrow::Cow;
use std::path::Path;

use mbsd_data::{Column, DuplicateIds, ImageSource, Keep, Product, ProductOptions, Products};
use mbsd_spec::image::{Preprocessor, RgbImage, decode};
use mbsd_spec::text::{TextIds, Tokenizer};
use rayon::prelude::*;
use serde_json::Value;

use super::Redaction;
use crate::TrainError;

/// Products decoded together; a multiple of any thread count that keeps few encoded images in memory.
const CHUNK: usize = 1024;

/// How a file becomes a corpus.
#[derive(Debug, Clone)]
pub struct CorpusOptions {
    /// Where the columns are.
    pub products: ProductOptions,
    /// Further columns to keep, by name.
    pub columns: Vec<String>,
    /// Words to take out of titles.
    pub redaction: Redaction,
    /// Bytes of resized images to hold.
    pub cache_bytes: usize,
    /// Share of rows that may be unusable.
    pub max_bad_rows: f64,
    /// Products to read, the first ones; all where `None`.
    pub limit: Option<usize>,
}

/// One product.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Its title's tokens; empty where it has none.
    pub title: TextIds,
    /// Its image.
    pub picture: Option<Picture>,
    /// The kept columns, in the order asked for; empty text where null.
    pub values: Vec<String>,
}

/// An image, resized or still to be decoded.
#[derive(Debug, Clone)]
pub enum Picture {
    /// Resized to the model's size.
    Resized(RgbImage),
    /// Encoded, because the cache was full. It has been decoded once.
    Encoded(ImageSource),
}

impl Picture {
    /// The image in the model's size.
    ///
    /// # Errors
    /// What is wrong with an image that can no longer be read.
    pub fn image(&self, preprocessor: &Preprocessor) -> Result<Cow<'_, RgbImage>, String> {
        match self {
            Self::Resized(image) => Ok(Cow::Borrowed(image)),
            Self::Encoded(source) => decoded(source, preprocessor).map(Cow::Owned),
        }
    }
}

fn decoded(source: &ImageSource, preprocessor: &Preprocessor) -> Result<RgbImage, String> {
    let bytes = source.read().map_err(|error| error.to_string())?;
    let image = decode(&bytes).map_err(|error| error.to_string())?;
    Ok(preprocessor.resize(&image))
}

/// The usable products of a file, and what is wrong with the others.
#[derive(Debug, Clone, Default)]
pub struct Corpus {
    /// The products, in the order of the file.
    pub items: Vec<Item>,
    /// One line for each row that cannot be used.
    pub bad_rows: Vec<String>,
    titles: Vec<String>,
}

impl Corpus {
    /// Reads a file and decodes its images on all cores. Titles are tokens only after [`Corpus::tokenize`].
    ///
    /// # Errors
    /// If the file cannot be read, has no usable row, or more unusable ones than allowed.
    pub fn read(path: &Path, options: &CorpusOptions, preprocessor: &Preprocessor) -> Result<Self, TrainError> {
        let keep = ProductOptions { keep: Keep::Named(options.columns.clone()), ..options.products.clone() };
        let mut products = Products::open(path, &keep)?;
        let positions: Vec<usize> =
            (options.columns.iter()).map(|name| position(products.columns(), name)).collect::<Option<_>>().ok_or_else(
                || TrainError::run(path.display().to_string(), "a label column is also the id, title or image"),
            )?;
        let mut corpus = Self::default();
        let mut room = options.cache_bytes;
        let mut left = options.limit.unwrap_or(usize::MAX);
        loop {
            let chunk: Vec<_> = products.by_ref().take(CHUNK.min(left)).collect();
            if chunk.is_empty() {
                break;
            }
            left -= chunk.len();
            let images: Vec<_> = chunk
                .par_iter()
                .map(|product| {
                    let source = product.as_ref().ok()?.image.as_ref()?;
                    Some(decoded(source, preprocessor))
                })
                .collect();
            for (product, image) in chunk.into_iter().zip(images) {
                match product {
                    Ok(product) => corpus.push(product, image, &positions, &options.redaction, &mut room),
                    Err(bad) => corpus.bad_rows.push(bad.to_string()),
                }
            }
        }
        corpus.check(path, options.max_bad_rows)?;
        Ok(corpus)
    }

    fn push(
        &mut self,
        product: Product,
        image: Option<Result<RgbImage, String>>,
        positions: &[usize],
        redaction: &Redaction,
        room: &mut usize,
    ) {
        let Product { row, id, title, image: source, columns } = product;
        let picture = match (image, source) {
            (Some(Ok(image)), Some(source)) => {
                let bytes = image.as_raw().len();
                if bytes <= *room {
                    *room -= bytes;
                    Some(Picture::Resized(image))
                } else {
                    Some(Picture::Encoded(source))
                }
            }
            (Some(Err(error)), _) => {
                self.bad_rows.push(format!("row {row} (id {id}): {error}"));
                return;
            }
            _ => None,
        };
        if picture.is_none() && title.is_none() {
            self.bad_rows.push(format!("row {row} (id {id}): neither a title nor an image"));
            return;
        }
        let values = positions.iter().map(|&position| text(&columns[position])).collect();
        self.titles.push(redaction.apply(title.as_deref().unwrap_or_default()));
        self.items.push(Item { id, title: TextIds::default(), picture, values });
    }

    fn check(&self, path: &Path, max_bad_rows: f64) -> Result<(), TrainError> {
        let (bad, rows) = (self.bad_rows.len(), self.bad_rows.len() + self.items.len());
        if bad as f64 > max_bad_rows * rows as f64 {
            let first = self.bad_rows.first().cloned().unwrap_or_default();
            return Err(TrainError::BadRows { path: path.to_owned(), bad, rows, first });
        }
        if self.items.is_empty() {
            return Err(TrainError::NoRows { path: path.to_owned(), reason: "it has no rows".into() });
        }
        Ok(())
    }

    /// A corpus of tokenized products.
    #[cfg(test)]
    pub(super) fn of_items(items: Vec<Item>) -> Self {
        Self { items, ..Self::default() }
    }

    /// Titles as read, without redacted words; empty after [`Corpus::tokenize`].
    pub fn titles(&self) -> &[String] {
        &self.titles
    }

    /// Turns titles into tokens, on all cores.
    pub fn tokenize(&mut self, tokenizer: &Tokenizer) {
        let titles = std::mem::take(&mut self.titles);
        self.items.par_iter_mut().zip(titles).for_each(|(item, title)| item.title = tokenizer.encode(&title));
    }
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self {
            products: ProductOptions { duplicate_ids: DuplicateIds::Refuse, ..ProductOptions::default() },
            columns: Vec::new(),
            redaction: Redaction::default(),
            cache_bytes: usize::MAX,
            max_bad_rows: 0.0,
            limit: None,
        }
    }
}

fn position(columns: &[Column], name: &str) -> Option<usize> {
    columns.iter().position(|column| column.name == name)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
