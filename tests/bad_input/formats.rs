//! Rows as JSON Lines, CSV and Parquet, and results read back.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mbsd_data::{DuplicateIds, ProductOptions, Products};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;

use crate::job::{Job, fixture};

/// How products lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Jsonl,
    Csv,
    /// With embedded images.
    Parquet,
}

/// One row of an input, in bytes that need not be text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) id: Option<Vec<u8>>,
    pub(crate) title: Option<Vec<u8>>,
    pub(crate) image: Image,
}

/// The image of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Image {
    #[default]
    None,
    /// A file of the fixtures: a path in the image folder, or embedded.
    Fixture(&'static str),
    /// A path to a file that is not there or must not be read.
    Path(&'static str),
}

impl Image {
    fn path(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Fixture(path) | Self::Path(path) => Some(path),
        }
    }
}

impl Format {
    pub(crate) const ALL: [Self; 3] = [Self::Jsonl, Self::Csv, Self::Parquet];

    /// Writes `NAME.EXTENSION`, and the fixtures into the image folder where they are not embedded.
    pub(crate) fn write(self, job: &Job, name: &str, rows: &[Row]) -> PathBuf {
        if self == Self::Parquet {
            let path = job.at(&format!("{name}.parquet"));
            write_parquet(&path, rows);
            return path;
        }
        for row in rows {
            if let Image::Fixture(name) = row.image {
                fs::copy(fixture(name), job.at("images").join(name)).unwrap();
            }
        }
        match self {
            Self::Jsonl => job.write(&format!("{name}.jsonl"), jsonl(rows)),
            _ => job.write(&format!("{name}.csv"), csv(rows)),
        }
    }
}

/// JSON Lines. Texts are put between quotes as they are, so that they can be what no serializer writes.
fn jsonl(rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::new();
    for row in rows {
        let fields = [
            ("id", row.id.as_deref()),
            ("title", row.title.as_deref()),
            ("image", row.image.path().map(str::as_bytes)),
        ];
        for (position, (name, value)) in fields.into_iter().enumerate() {
            out.push(if position == 0 { b'{' } else { b',' });
            out.extend_from_slice(format!("\"{name}\":").as_bytes());
            match value {
                Some(value) => out.extend_from_slice(&quoted(value)),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(b"}\n");
    }
    out
}

fn csv(rows: &[Row]) -> Vec<u8> {
    let mut out = b"id,title,image\n".to_vec();
    for row in rows {
        let field = |value: Option<&[u8]>| value.map(quoted).unwrap_or_default();
        let fields =
            [field(row.id.as_deref()), field(row.title.as_deref()), field(row.image.path().map(str::as_bytes))];
        out.extend_from_slice(&fields.join(&b','));
        out.push(b'\n');
    }
    out
}

fn quoted(value: &[u8]) -> Vec<u8> {
    assert!(!value.iter().any(|byte| matches!(byte, b'"' | b'\\')), "a test's text that would need escapes");
    [b"\"", value, b"\""].concat()
}

/// Parquet with `{bytes, path}` images, written column by column: Arrow's arrays refuse text that is not UTF-8.
fn write_parquet(path: &Path, rows: &[Row]) {
    let schema = "message products { optional binary id (UTF8); optional binary title (UTF8);
        optional group image { optional binary bytes; optional binary path (UTF8); } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = |values: Vec<Option<Vec<u8>>>, present: i16, absent: &dyn Fn(usize) -> i16| {
        let levels: Vec<i16> =
            values.iter().enumerate().map(|(row, value)| if value.is_some() { present } else { absent(row) }).collect();
        let values: Vec<ByteArray> = values.into_iter().flatten().map(ByteArray::from).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
    };
    column(rows.iter().map(|row| row.id.clone()).collect(), 1, &|_| 0);
    column(rows.iter().map(|row| row.title.clone()).collect(), 1, &|_| 0);
    let bytes = |row: &Row| match row.image {
        Image::Fixture(name) => Some(fs::read(fixture(name)).unwrap()),
        Image::Path(_) | Image::None => None,
    };
    // A group that is there and a part of it that is null is level 1.
    let group_level = |row: usize| i16::from(rows[row].image != Image::None);
    column(rows.iter().map(bytes).collect(), 2, &group_level);
    column(rows.iter().map(|row| row.image.path().map(Into::into)).collect(), 2, &group_level);
    group.close().unwrap();
    writer.close().unwrap();
}

/// One row of a result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ResultRow {
    pub(crate) id: Option<String>,
    /// Tags with scores; `None` is null.
    pub(crate) tags: Option<Vec<(String, f32)>>,
    pub(crate) variant: Option<String>,
    pub(crate) error: Option<String>,
}

/// The rows of a result, by its extension.
pub(crate) fn results(path: &Path) -> Vec<ResultRow> {
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        let text = fs::read_to_string(path).unwrap();
        return text.lines().map(|line| serde_json::from_str(line).unwrap()).map(|row: Value| result(&row)).collect();
    }
    let options = ProductOptions { duplicate_ids: DuplicateIds::Allow, ..ProductOptions::default() };
    let products = Products::open(path, &options).unwrap();
    let names: Vec<String> = products.columns().iter().map(|column| column.name.clone()).collect();
    let row = |(id, columns): (Option<String>, Vec<Value>)| {
        let mut row: serde_json::Map<_, _> = names.iter().cloned().zip(columns).collect();
        row.insert("id".to_owned(), id.into());
        result(&Value::Object(row))
    };
    products
        .map(|product| match product {
            Ok(product) => row((Some(product.id), product.columns)),
            // A result whose id is null.
            Err(bad) => row((bad.id, bad.columns)),
        })
        .collect()
}

fn result(row: &Value) -> ResultRow {
    let text = |name: &str| match &row[name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => panic!("`{name}` is {other}"),
    };
    let tags = row["tags"].as_array().map(|tags| {
        let tag = |tag: &Value| (tag["tag"].as_str().unwrap().to_owned(), tag["score"].as_f64().unwrap() as f32);
        tags.iter().map(tag).collect()
    });
    ResultRow { id: text("id"), tags, variant: text("variant"), error: text("error") }
}
