//! The products of a file in memory: titles as token ids, images resized.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mbsd_data::{
    BadRow, Column, DuplicateIds, ImageSource, Keep, Product, ProductOptions, ProductPair, ProductPairOptions,
    ProductPairs, Products,
};
use mbsd_spec::bundle::sha256;
use mbsd_spec::image::{Preprocessor, RgbImage};
use mbsd_spec::text::{TextIds, Tokenizer};
use rayon::prelude::*;
use serde_json::Value;

use super::Redaction;
use super::picture::{Picture, Spill, decoded};
use crate::TrainError;
use crate::checkpoint::TrainingProducts;

/// Products decoded together; a multiple of any thread count that keeps few encoded images in memory.
const CHUNK: usize = 1024;

/// Products with a lost image that are named; of further ones only some, with their number.
const NAMED: usize = 20;

/// How a file becomes a corpus.
#[derive(Debug, Clone)]
pub struct CorpusOptions {
    /// Where the columns are.
    pub products: ProductOptions,
    /// Further columns to keep, by name.
    pub columns: Vec<String>,
    /// Words to take out of titles.
    pub redaction: Redaction,
    /// Bytes of resized images to hold. Of those beyond, encoded images that came with the rows go to a temporary file.
    pub cache_bytes: usize,
    /// The folder of that.
    pub spill_folder: PathBuf,
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
    /// The kept columns, in the order asked for; empty text where null or not there.
    pub values: Vec<String>,
}

/// The usable products of a file, and what is wrong with the others.
#[derive(Debug, Clone, Default)]
pub struct Corpus {
    /// The products, in the order of the file.
    pub items: Vec<Item>,
    /// One line for each row that cannot be used.
    pub bad_rows: Vec<String>,
    /// Whether the limit was reached: the file may hold more products.
    pub is_cut: bool,
    /// Bytes of resized images.
    pub cached_bytes: usize,
    titles: Vec<String>,
    limit: Limit,
    /// Products whose image could be read once, and no longer can.
    lost: Arc<Mutex<BTreeSet<usize>>>,
}

/// How many rows of a file may be unusable.
#[derive(Debug, Clone, Default)]
struct Limit {
    path: PathBuf,
    rows: usize,
    bad: usize,
}

impl Limit {
    /// # Errors
    /// If there are more, of which `first` is one.
    fn check(&self, bad: usize, first: impl FnOnce() -> String) -> Result<(), TrainError> {
        if bad <= self.bad {
            return Ok(());
        }
        Err(TrainError::BadRows { path: self.path.clone(), bad, rows: self.rows, first: first() })
    }
}

impl Corpus {
    /// Reads a file and decodes its images on all cores. Titles are tokens only after [`Corpus::tokenize`].
    ///
    /// # Errors
    /// If the file cannot be read, has no usable row, or more unusable ones than allowed.
    pub fn read(path: &Path, options: &CorpusOptions, preprocessor: &Preprocessor) -> Result<Self, TrainError> {
        let keep = ProductOptions { keep: Keep::Named(options.columns.clone()), ..options.products.clone() };
        let products = Products::open(path, &keep)?;
        let positions: Vec<usize> = (options.columns.iter())
            .map(|name| position(products.columns(), name))
            .collect::<Option<_>>()
            .ok_or_else(|| {
                TrainError::run(
                    path.display().to_string(),
                    "a column of labels, tags or queries is also the id, title or image",
                )
            })?;
        let products = products.take(options.limit.unwrap_or(usize::MAX));
        let corpus = Self::of_rows(path, products, 1, &positions, options, preprocessor)?;
        let rows = corpus.items.len() + corpus.bad_rows.len();
        Ok(Self { is_cut: options.limit == Some(rows), ..corpus })
    }

    /// Reads a file whose rows hold two products each: they lie side by side, and the label is the one value of the first.
    /// Columns are those of `pairs`.
    ///
    /// # Errors
    /// As [`Corpus::read`].
    pub fn read_pairs(
        path: &Path,
        pairs: &ProductPairOptions,
        options: &CorpusOptions,
        preprocessor: &Preprocessor,
    ) -> Result<Self, TrainError> {
        let pairs = ProductPairs::open(path, pairs)?.take(options.limit.unwrap_or(usize::MAX));
        let products = pairs.flat_map(|pair| match pair {
            Ok(ProductPair { source, target, .. }) => vec![Ok(source), Ok(target)],
            Err(bad) => vec![Err(bad)],
        });
        Self::of_rows(path, products, 2, &[0], options, preprocessor)
    }

    /// Rows of so many products each.
    fn of_rows(
        path: &Path,
        mut products: impl Iterator<Item = Result<Product, BadRow>>,
        each: usize,
        positions: &[usize],
        options: &CorpusOptions,
        preprocessor: &Preprocessor,
    ) -> Result<Self, TrainError> {
        let mut corpus = Self::default();
        let mut spill = Spill::new(&options.spill_folder);
        loop {
            let chunk: Vec<_> = products.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            let images: Vec<_> = chunk
                .par_iter()
                .map(|product| {
                    let source = product.as_ref().ok()?.image.as_ref()?;
                    Some(decoded(source, preprocessor))
                })
                .collect();
            for (product, image) in chunk.into_iter().zip(images) {
                match product {
                    Ok(product) => corpus.push(product, image, positions, options, &mut spill)?,
                    Err(bad) => corpus.bad_rows.push(bad.or_input_lost(path)?.to_string()),
                }
            }
        }
        let rows = corpus.bad_rows.len() + corpus.items.len() / each;
        let bad = if corpus.items.is_empty() { 0 } else { (options.max_bad_rows * rows as f64) as usize };
        corpus.limit = Limit { path: path.to_owned(), rows, bad };
        corpus.limit.check(corpus.bad_rows.len(), || corpus.bad_rows[0].clone())?;
        if corpus.items.is_empty() {
            return Err(TrainError::NoRows { path: path.to_owned(), reason: "it has no rows".into() });
        }
        Ok(corpus)
    }

    fn push(
        &mut self,
        product: Product,
        image: Option<Result<RgbImage, String>>,
        positions: &[usize],
        options: &CorpusOptions,
        spill: &mut Spill,
    ) -> Result<(), TrainError> {
        let Product { row, id, title, image: source, columns } = product;
        let picture = match (image, source) {
            (Some(Ok(image)), Some(source)) => {
                let bytes = image.as_raw().len();
                Some(if self.cached_bytes + bytes <= options.cache_bytes {
                    self.cached_bytes += bytes;
                    Picture::Resized(image)
                } else if let ImageSource::Embedded { bytes, .. } = &source {
                    spill.take(bytes).map_err(TrainError::io("write", spill.folder()))?
                } else {
                    Picture::Encoded(source)
                })
            }
            (Some(Err(error)), _) => {
                self.bad_rows.push(format!("row {row} (id {id}): {error}"));
                return Ok(());
            }
            _ => None,
        };
        if picture.is_none() && title.is_none() {
            self.bad_rows.push(format!("row {row} (id {id}): neither a title nor an image"));
            return Ok(());
        }
        let values = positions.iter().map(|&position| columns.get(position).map_or_else(String::new, text)).collect();
        self.titles.push(options.redaction.apply(title.as_deref().unwrap_or_default()));
        self.items.push(Item { id, title: TextIds::default(), picture, values });
        Ok(())
    }

    /// Takes back what [`Corpus::lose`] was told of products whose images are there again.
    pub fn regain(&self, is_there: impl Fn(usize) -> bool) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).retain(|&item| !is_there(item));
    }

    /// Tells of a product whose image could be read when the file was, and no longer can.
    ///
    /// # Errors
    /// If that is one more than may be unusable.
    pub fn lose(&self, item: usize, reason: &str) -> Result<(), TrainError> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if !lost.insert(item) {
            return Ok(());
        }
        let product = format!("product {}: {reason}", self.items[item].id);
        if lost.len() <= NAMED || lost.len().is_power_of_two() {
            eprintln!("{}: {product}; left out, as {} in all", self.limit.path.display(), lost.len());
        }
        self.limit.check(self.bad_rows.len() + lost.len(), || product)
    }

    /// A corpus of tokenized products, so many of which may turn out to be unusable.
    #[cfg(test)]
    pub(super) fn of_items(items: Vec<Item>, bad: usize) -> Self {
        let limit = Limit { path: PathBuf::from("products"), rows: items.len(), bad };
        Self { items, limit, ..Self::default() }
    }

    /// Which products they are.
    pub fn products(&self) -> TrainingProducts {
        let ids: String = self.items.iter().flat_map(|item| [item.id.as_str(), "\n"]).collect();
        TrainingProducts { count: self.items.len(), ids: sha256(ids.as_bytes()) }
    }

    /// How many products there are, and what they have. For a corpus that is not tokenized yet.
    pub fn summary(&self) -> String {
        let titles = self.titles.iter().filter(|title| !title.is_empty()).count();
        let images = self.items.iter().filter(|item| item.picture.is_some()).count();
        format!("{} products, {titles} with a title, {images} with an image", self.items.len())
    }

    /// Whether all products have a title and an image.
    pub fn is_complete(&self) -> bool {
        self.items.iter().all(|item| item.picture.is_some() && !item.title.is_empty())
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
            spill_folder: std::env::temp_dir(),
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
    use mbsd_spec::Config;

    use super::*;

    #[test]
    fn what_memory_has_no_room_for_is_read_back_from_the_disk() {
        const SIDE: u32 = 32;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let encoded = |shade: u8| {
            let mut bytes = std::io::Cursor::new(Vec::new());
            let image = RgbImage::from_fn(20, 24, |x, y| image::Rgb([shade, x as u8, y as u8]));
            image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
            bytes.into_inner()
        };
        let images: Vec<Vec<u8>> = (0..5).map(|row| encoded(50 * row)).collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(StringArray::from_iter_values((0..5).map(|row| format!("p{row}"))))),
            ("title", Arc::new(StringArray::from_iter_values((0..5).map(|_| "hat")))),
            ("image", Arc::new(BinaryArray::from_iter_values(&images))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = File::create(&path).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();

        let preprocessor = Preprocessor::new(&Config { image_size: SIDE as usize, ..Config::base() });
        let read = |cache_bytes| {
            let options = CorpusOptions { cache_bytes, ..CorpusOptions::default() };
            Corpus::read(&path, &options, &preprocessor).unwrap()
        };
        let (whole, two) = (read(usize::MAX), read(2 * 3 * (SIDE * SIDE) as usize + 1));
        assert_eq!((whole.cached_bytes, two.cached_bytes), (5 * 3 * 1024, 2 * 3 * 1024));
        let spilled = |item: &&Item| matches!(item.picture, Some(Picture::Spilled(..)));
        assert_eq!(two.items.iter().filter(spilled).count(), 3);
        // In any order, from several threads.
        let pixels = |item: &Item| item.picture.as_ref().unwrap().image(&preprocessor).unwrap().into_owned();
        (0..50).into_par_iter().for_each(|turn| {
            let row = turn * 3 % 5;
            assert!(pixels(&two.items[row]) == pixels(&whole.items[row]), "row {row}");
        });
    }
}
