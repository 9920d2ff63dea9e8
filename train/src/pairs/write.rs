//! Pairs as a file: Parquet or JSON Lines by extension, under a temporary name until it is whole.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use mbsd_data::reads;
use mbsd_data::staged::{make_folder_of, stage, write_whole};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tempfile::TempPath;

use super::PairsError;
use super::negatives::Source;

/// Rows collected before they go to the Parquet writer.
const BATCH_ROWS: usize = 8192;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A file of pairs being written. Dropped before it is finished, it leaves nothing behind.
pub(super) struct PairWriter {
    format: Format,
    staged: TempPath,
    destination: PathBuf,
}

enum Format {
    Jsonl(BufWriter<File>),
    Parquet(Box<ParquetPairs>),
}

struct ParquetPairs {
    schema: Arc<Schema>,
    writer: ArrowWriter<File>,
    product: StringBuilder,
    query: StringBuilder,
    label: Int64Builder,
    source: StringBuilder,
    rows: usize,
}

/// Whether a name is one that pairs can be written to.
pub(super) fn check_name(path: &Path) -> Result<bool, PairsError> {
    match path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).as_deref() {
        _ if path.is_dir() => {
            Err(PairsError::Setting(format!("--output {} is a folder; name a file in it", path.display())))
        }
        Some("parquet") => Ok(true),
        Some("jsonl" | "ndjson") => Ok(false),
        _ => Err(PairsError::Setting(format!("--output {}: use .parquet or .jsonl", path.display()))),
    }
}

/// Refuses an output that is one of the inputs, which may be folders or patterns.
pub(crate) fn check_apart<'a>(
    name: &str,
    output: &Path,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<(), PairsError> {
    if inputs.into_iter().any(|input| reads(input, output)) {
        let reason = format!("{name} {} is an input file as well", output.display());
        return Err(PairsError::Setting(reason));
    }
    Ok(())
}

impl PairWriter {
    /// Starts a file.
    ///
    /// # Errors
    /// If its extension is another, or its folder cannot be written to.
    pub(super) fn create(path: &Path) -> Result<Self, PairsError> {
        let is_parquet = check_name(path)?;
        let staged = make_folder_of(path).and_then(|()| stage(path));
        let (file, staged) = staged.map_err(|error| failure(path)(error.into()))?;
        let format = if is_parquet {
            Format::Parquet(Box::new(ParquetPairs::new(file).map_err(failure(path))?))
        } else {
            Format::Jsonl(BufWriter::new(file))
        };
        Ok(Self { format, staged, destination: path.to_owned() })
    }

    /// Writes a row.
    pub(super) fn write(&mut self, product: &str, query: &str, source: Source) -> Result<(), PairsError> {
        let done = match &mut self.format {
            Format::Jsonl(file) => {
                let [product, query] = [product, query].map(|text| serde_json::Value::from(text).to_string());
                let (label, source) = (source.label(), source.name());
                writeln!(file, r#"{{"product":{product},"query":{query},"label":{label},"source":"{source}"}}"#)
                    .map_err(Failure::from)
            }
            Format::Parquet(file) => file.write(product, query, source),
        };
        done.map_err(failure(&self.destination))
    }

    /// Completes the file and gives it its name, in the place of an earlier one.
    pub(super) fn finish(self) -> Result<(), PairsError> {
        let done = match self.format {
            Format::Jsonl(mut file) => file.flush().map_err(Failure::from),
            Format::Parquet(mut file) => file.flush().and_then(|()| Ok(file.writer.close().map(drop)?)),
        };
        let named = done.and_then(|()| Ok(self.staged.persist(&self.destination)?));
        named.map_err(failure(&self.destination))
    }
}

impl ParquetPairs {
    fn new(file: File) -> Result<Self, Failure> {
        let field = |name: &str, ty| Field::new(name, ty, false);
        let schema = Arc::new(Schema::new(vec![
            field("product", DataType::Utf8),
            field("query", DataType::Utf8),
            field("label", DataType::Int64),
            field("source", DataType::Utf8),
        ]));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        Ok(Self {
            writer: ArrowWriter::try_new(file, schema.clone(), Some(properties))?,
            schema,
            product: StringBuilder::new(),
            query: StringBuilder::new(),
            label: Int64Builder::new(),
            source: StringBuilder::new(),
            rows: 0,
        })
    }

    fn write(&mut self, product: &str, query: &str, source: Source) -> Result<(), Failure> {
        self.product.append_value(product);
        self.query.append_value(query);
        self.label.append_value(source.label().into());
        self.source.append_value(source.name());
        self.rows += 1;
        if self.rows == BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.rows = 0;
        let batch = RecordBatch::try_new(
            self.schema.clone(),
            vec![
                Arc::new(self.product.finish()),
                Arc::new(self.query.finish()),
                Arc::new(self.label.finish()),
                Arc::new(self.source.finish()),
            ],
        )?;
        Ok(self.writer.write(&batch)?)
    }
}

fn failure(path: &Path) -> impl Fn(Failure) -> PairsError + use<> {
    let path = path.to_owned();
    move |source| PairsError::Write { path: path.clone(), source }
}

/// Writes a text file whole.
pub(super) fn write_text(path: &Path, text: &str) -> Result<(), PairsError> {
    make_folder_of(path).and_then(|()| write_whole(path, text)).map_err(|error| failure(path)(error.into()))
}

#[cfg(test)]
mod tests {
    use mbsd_data::{PairOptions, Pairs};

    use super::*;

    #[test]
    fn both_formats_are_read_back_as_pairs() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.parquet", "a.jsonl"] {
            let path = folder.path().join(name);
            let mut writer = PairWriter::create(&path).unwrap();
            writer.write("7", "say \"黑色\" \\ shirts", Source::Purchase).unwrap();
            writer.write("8", "red", Source::Rewrite).unwrap();
            assert!(!path.exists(), "it has no name before it is whole");
            writer.finish().unwrap();
            let options = PairOptions {
                source_column: "product".to_owned(),
                target_column: "query".to_owned(),
                label_column: Some("label".to_owned()),
            };
            let pairs: Vec<_> = Pairs::open(&path, &options).unwrap().map(|pair| pair.unwrap()).collect();
            assert_eq!((pairs[0].target.as_str(), pairs[0].label), ("say \"黑色\" \\ shirts", Some(true)));
            assert_eq!((pairs[1].source.as_str(), pairs[1].label), ("8", Some(false)));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_unfinished_file_leaves_the_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        write_text(&path, "earlier").unwrap();
        let mut writer = PairWriter::create(&path).unwrap();
        writer.write("7", "q", Source::Purchase).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "earlier");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = PairWriter::create(&folder.path().join("a.csv")).err().unwrap().to_string();
        assert!(error.ends_with("use .parquet or .jsonl"), "{error}");
        assert!(PairWriter::create(folder.path()).err().unwrap().to_string().contains("is a folder"));
    }
}
