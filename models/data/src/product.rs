//! Products: rows with an id, and a title or an image or both.

mod options;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::cell::{Cell, Column, Record};
use crate::error::{BadRow, ReadError, codes, row_error};
use crate::image::{ImageFolder, ImageSource};
use crate::inputs::input_folder;
use crate::ipc;
use crate::table::{Selection, Table};

pub use options::{AbsentImages, DuplicateIds, Ids, Keep, ProductOptions};

/// One row of a catalogue.
#[derive(Debug, Clone)]
pub struct Product {
    /// Number of its row, the first being 1.
    pub row: u64,
    /// Its id; integer ids as decimal text.
    pub id: String,
    /// Its title; `None` where it is null, empty or blank.
    pub title: Option<String>,
    /// Its picture; `None` where it is null or an empty path.
    pub image: Option<ImageSource>,
    /// The further columns, one value for each of [`Products::columns`].
    pub columns: Vec<Value>,
}

/// The products of a file, in its order.
pub struct Products {
    table: Table,
    /// Where the id is; `None` where the row's number stands for it.
    id: Option<usize>,
    ids: Ids,
    absent_images: AbsentImages,
    title: Option<usize>,
    image: Option<usize>,
    columns: Arc<[Column]>,
    folder: Arc<ImageFolder>,
    seen: Option<HashMap<u128, u64>>,
}

impl std::fmt::Debug for Products {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Products")
            .field("path", &self.table.path)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

impl Products {
    /// Opens a `.parquet`, `.arrow`, `.jsonl`, `.csv` or `.tsv` file, text also with `.gz` or `.zst`; a folder or a pattern as in
    /// [`crate::input_files`].
    ///
    /// # Errors
    /// See [`ReadError`]; a missing column is reported with the columns there are.
    pub fn open(path: impl AsRef<Path>, options: &ProductOptions) -> Result<Self, ReadError> {
        let path = path.as_ref();
        Self::of(&input_folder(path), options, |selection| Table::open(path, selection))
    }

    /// Reads an Arrow IPC stream. `name` stands for it in messages; image paths are relative to the current folder where `options` name none.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_arrow(name: &str, input: Box<dyn Read + Send>, options: &ProductOptions) -> Result<Self, ReadError> {
        Self::of(Path::new("."), options, |selection| ipc::open(Path::new(name), input, selection))
    }

    fn of(
        beside: &Path,
        options: &ProductOptions,
        open: impl FnOnce(&Selection) -> Result<Table, ReadError>,
    ) -> Result<Self, ReadError> {
        // Where rows are their own ids, a column of the usual name is none.
        let id = (options.ids == Ids::Column).then_some(&options.id_column);
        let own = id.into_iter().chain([&options.title_column, &options.image_column]);
        let only = match &options.keep {
            Keep::All => None,
            Keep::Named(names) => Some(own.chain(names).cloned().collect()),
        };
        let selection = Selection {
            only,
            image: Some(options.image_column.clone()),
            text: vec![options.id_column.clone(), options.title_column.clone()],
            header: options.header.clone(),
        };
        let table = open(&selection)?;
        let id = match options.ids {
            Ids::Column => Some(table.require(&options.id_column)?),
            Ids::Rows(_) => None,
        };
        let title = table.position(&options.title_column);
        let image = table.position(&options.image_column);
        if title.is_none() && image.is_none() {
            table.require(&options.title_column)?;
        }
        let usual = ProductOptions::default();
        let columns = [(&options.title_column, &usual.title_column), (&options.image_column, &usual.image_column)];
        for (name, _) in columns.iter().filter(|(name, usual)| options.named_columns_exist && name != usual) {
            table.require(name)?;
        }
        if let Keep::Named(names) = &options.keep {
            for name in names {
                table.require(name)?;
            }
        }
        let taken = |position: usize| [id, title, image].contains(&Some(position));
        let columns = (table.columns.iter().enumerate())
            .filter(|(position, _)| !taken(*position))
            .map(|(_, column)| column.clone())
            .collect();
        let folder = ImageFolder::new(options.images.as_deref().unwrap_or(beside), options.allow_outside)?;
        let may_repeat = options.ids == Ids::Column && options.duplicate_ids == DuplicateIds::Refuse;
        let seen = may_repeat.then(HashMap::new);
        Ok(Self {
            table,
            id,
            ids: options.ids.clone(),
            absent_images: options.absent_images,
            title,
            image,
            columns,
            folder: Arc::new(folder),
            seen,
        })
    }

    /// The further columns: those that are not id, title or image. Raw bytes are not among them.
    pub fn columns(&self) -> &Arc<[Column]> {
        &self.columns
    }

    /// Whether there is a column of titles.
    pub fn has_titles(&self) -> bool {
        self.title.is_some()
    }

    /// Whether there is a column of images.
    pub fn has_images(&self) -> bool {
        self.image.is_some()
    }

    /// The number of rows, where the format tells it beforehand (not for CSV and TSV).
    pub fn row_count(&self) -> Option<u64> {
        self.table.len
    }

    fn product(&mut self, record: Record) -> Result<Product, BadRow> {
        let row = record.row;
        let mut id = match &self.ids {
            Ids::Column => Ok(None),
            Ids::Rows(prefix) => Ok(Some(format!("{prefix}{row}"))),
        };
        let mut title = Ok(None);
        let mut image = Ok(None);
        let mut columns = Vec::with_capacity(self.columns.len());
        let mut misencoded = None;
        for (position, cell) in record.cells.into_iter().enumerate() {
            if Some(position) == self.id {
                id = id_text(cell);
            } else if Some(position) == self.title {
                title = title_text(cell);
            } else if Some(position) == self.image {
                image = self.image_source(cell);
            } else {
                columns.push(match cell {
                    Cell::Value(value) => value,
                    Cell::Bytes(_) | Cell::Image { .. } => Value::Null,
                    Cell::InvalidUtf8 => {
                        misencoded.get_or_insert(position);
                        Value::Null
                    }
                });
            }
        }
        let name = |position: Option<usize>| position.map_or("", |position| self.table.columns[position].name.as_str());
        let bad = |id: Option<String>, columns: Vec<Value>, code, message| BadRow {
            row,
            id,
            columns,
            error: row_error(code, message),
        };
        let id = match id {
            Ok(Some(id)) => id,
            Ok(None) => {
                let message = format!("`{}` is null or empty", name(self.id));
                return Err(bad(None, columns, codes::MISSING_ID, message));
            }
            Err(fault) => return Err(bad(None, columns, fault.code(), fault.message(name(self.id)))),
        };
        if let Some(first) = self.seen.as_mut().and_then(|seen| first_row_of(seen, &id, row)) {
            let message = format!("row {first} has the id `{id}` already; this row was left out");
            return Err(bad(Some(id), columns, codes::DUPLICATE_ID, message));
        }
        let title = match title {
            Ok(title) => title,
            Err(fault) => return Err(bad(Some(id), columns, fault.code(), fault.message(name(self.title)))),
        };
        let image = match image {
            Ok(image) => image,
            Err(fault) => return Err(bad(Some(id), columns, fault.code(), fault.message(name(self.image)))),
        };
        if let Some(position) = misencoded {
            let fault = Fault::InvalidUtf8;
            return Err(bad(Some(id), columns, fault.code(), fault.message(name(Some(position)))));
        }
        Ok(Product { row, id, title, image, columns })
    }

    fn image_source(&self, cell: Cell) -> Result<Option<ImageSource>, Fault> {
        let file = |path: String| match path.trim() {
            "" => None,
            _ if self.absent_images == AbsentImages::Drop && !self.folder.has(&path) => None,
            _ => Some(ImageSource::File { folder: self.folder.clone(), path }),
        };
        match cell {
            Cell::Value(Value::Null) => Ok(None),
            Cell::Value(Value::String(path)) => Ok(file(path)),
            Cell::Bytes(bytes) => Ok(Some(ImageSource::Embedded { bytes: bytes.into(), path: None })),
            Cell::Image { bytes: Some(bytes), path } => Ok(Some(ImageSource::Embedded { bytes: bytes.into(), path })),
            Cell::Image { bytes: None, path } => Ok(path.and_then(file)),
            Cell::InvalidUtf8 => Err(Fault::InvalidUtf8),
            Cell::Value(_) => Err(Fault::NotAnImage),
        }
    }
}

impl Iterator for Products {
    type Item = Result<Product, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.table.rows.next_row()? {
            Ok(record) => self.product(record),
            Err(bad) => Err(bad),
        })
    }
}

/// What can be wrong with a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    InvalidUtf8,
    NotText,
    NotAnId,
    NotAnImage,
}

impl Fault {
    pub(crate) fn code(self) -> &'static str {
        if self == Self::InvalidUtf8 { codes::INVALID_UTF8 } else { codes::WRONG_TYPE }
    }

    pub(crate) fn message(self, column: &str) -> String {
        match self {
            Self::InvalidUtf8 => format!("`{column}` is not valid UTF-8"),
            Self::NotText => format!("`{column}` is not text"),
            Self::NotAnId => format!("`{column}` is neither text nor an integer"),
            Self::NotAnImage => format!("`{column}` is neither a path nor embedded bytes"),
        }
    }
}

/// An id as text, `None` for null and empty ones.
pub(crate) fn id_text(cell: Cell) -> Result<Option<String>, Fault> {
    match cell {
        Cell::Value(Value::Null) => Ok(None),
        Cell::Value(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Cell::Value(Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(Some(number.to_string())),
        Cell::Bytes(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            Err(_) => Err(Fault::InvalidUtf8),
        },
        Cell::InvalidUtf8 => Err(Fault::InvalidUtf8),
        Cell::Value(_) | Cell::Image { .. } => Err(Fault::NotAnId),
    }
}

fn title_text(cell: Cell) -> Result<Option<String>, Fault> {
    let text = match cell {
        Cell::Value(Value::Null) => return Ok(None),
        Cell::Value(Value::String(text)) => text,
        Cell::Bytes(bytes) => String::from_utf8(bytes).map_err(|_| Fault::InvalidUtf8)?,
        Cell::InvalidUtf8 => return Err(Fault::InvalidUtf8),
        Cell::Value(_) | Cell::Image { .. } => return Err(Fault::NotText),
    };
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

/// The row in which an id was first seen, if it was; 128 bits of hash stand for the id.
fn first_row_of(seen: &mut HashMap<u128, u64>, id: &str, row: u64) -> Option<u64> {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        id.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    match seen.entry(half(0) << 64 | half(1)) {
        std::collections::hash_map::Entry::Occupied(first) => Some(*first.get()),
        std::collections::hash_map::Entry::Vacant(place) => {
            place.insert(row);
            None
        }
    }
}

#[cfg(test)]
mod tests;
