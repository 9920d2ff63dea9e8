//! Several files as one table, and files that change while they are read.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::cell::{Cell, Column, Record};
use crate::error::{BadRow, ReadError, codes};
use crate::table::{Rows, Selection, Table};

/// Opens files as one table: their rows one file after the other, numbered on, and their columns put together by name. Where a file lacks
/// a column, its rows have null.
pub(crate) fn open(input: &Path, files: Vec<PathBuf>, selection: &Selection) -> Result<Table, ReadError> {
    let (mut columns, mut names, mut len): (Vec<Column>, Vec<String>, _) = (Vec::new(), Vec::new(), Some(0));
    let mut parts = Vec::with_capacity(files.len());
    for path in files {
        let bytes = std::fs::metadata(&path).map_err(ReadError::io(&path))?.len();
        // Closed again after this look: there may be more files than a process may have open.
        let table = Table::open_file(&path, selection)?;
        for name in table.names {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for column in &table.columns {
            match columns.iter_mut().find(|known| known.name == column.name) {
                Some(known) => known.ty = known.ty.or(column.ty),
                None => columns.push(column.clone()),
            }
        }
        len = len.zip(table.len).map(|(sum, len)| sum + len);
        parts.push(Part { path, bytes });
    }
    let rows = ManyRows {
        parts: parts.into_iter(),
        selection: selection.clone(),
        columns: columns.clone(),
        current: None,
        before: 0,
        row: 0,
    };
    Ok(Table { path: input.to_owned(), columns, names, len, rows: Box::new(rows) })
}

struct Part {
    path: PathBuf,
    /// Its size when the input was opened.
    bytes: u64,
}

struct ManyRows {
    parts: std::vec::IntoIter<Part>,
    selection: Selection,
    /// The columns of all files.
    columns: Vec<Column>,
    current: Option<Current>,
    /// Rows of the files before the current one.
    before: u64,
    row: u64,
}

struct Current {
    path: PathBuf,
    rows: Box<dyn Rows>,
    /// Where each column of all files is in this one.
    places: Vec<Option<usize>>,
}

impl Rows for ManyRows {
    fn next_row(&mut self) -> Option<Result<Record, BadRow>> {
        loop {
            let Some(current) = &mut self.current else {
                let part = self.parts.next()?;
                match self.open(&part) {
                    Ok(current) => self.current = Some(current),
                    Err(reason) => {
                        self.parts = Vec::new().into_iter();
                        return Some(Err(BadRow::unreadable(self.row + 1, codes::INPUT_LOST, reason)));
                    }
                }
                continue;
            };
            let row = match current.rows.next_row() {
                None => {
                    self.current = None;
                    self.before = self.row;
                    continue;
                }
                Some(Ok(mut record)) => {
                    let cell = |place: &Option<usize>| {
                        place.map_or(Cell::NULL, |place| std::mem::replace(&mut record.cells[place], Cell::NULL))
                    };
                    let cells = current.places.iter().map(cell).collect();
                    self.row = self.before + record.row;
                    Ok(Record { row: self.row, cells })
                }
                Some(Err(mut bad)) => {
                    self.row = self.before + bad.row;
                    bad.row = self.row;
                    bad.error.message = format!("{}: {}", current.path.display(), bad.error.message);
                    if bad.is_input_lost() {
                        self.parts = Vec::new().into_iter();
                    }
                    Err(bad)
                }
            };
            return Some(row);
        }
    }
}

impl ManyRows {
    /// Opens a file again, or says why what follows is lost.
    fn open(&self, part: &Part) -> Result<Current, String> {
        let bytes = std::fs::metadata(&part.path).map(|metadata| metadata.len());
        if bytes.as_ref().is_ok_and(|bytes| *bytes != part.bytes) {
            return Err(format!("{} was changed after the input was opened", part.path.display()));
        }
        let table = Table::open_file(&part.path, &self.selection).map_err(|error| match &error {
            ReadError::Io { source, .. } => format!("{error}: {source}"),
            _ => error.to_string(),
        })?;
        let place = |column: &Column| table.columns.iter().position(|own| own.name == column.name);
        let places = self.columns.iter().map(place).collect();
        Ok(Current { path: part.path.clone(), rows: table.rows, places })
    }
}

/// Rows of a file that is watched: one that is cut or written to while it is read must not look read to its end.
pub(crate) struct Watched {
    rows: Box<dyn Rows>,
    file: File,
    /// Its size when it was opened.
    bytes: u64,
    /// Rows it must have, where the format tells it.
    len: Option<u64>,
    row: u64,
    ended: bool,
}

impl Watched {
    /// Watches the file that a table is of.
    pub(crate) fn over(table: Table) -> Result<Table, ReadError> {
        let file = File::open(&table.path).map_err(ReadError::io(&table.path))?;
        let bytes = file.metadata().map_err(ReadError::io(&table.path))?.len();
        let rows = Self { rows: table.rows, file, bytes, len: table.len, row: 0, ended: false };
        Ok(Table { rows: Box::new(rows), ..table })
    }

    fn changed(&self) -> bool {
        self.file.metadata().map_or(true, |metadata| metadata.len() != self.bytes)
    }

    fn lost(&mut self) -> Option<Result<Record, BadRow>> {
        self.ended = true;
        let message = "the file was changed while it was read";
        Some(Err(BadRow::unreadable(self.row + 1, codes::INPUT_LOST, message)))
    }
}

impl Rows for Watched {
    fn next_row(&mut self) -> Option<Result<Record, BadRow>> {
        if self.ended {
            return None;
        }
        let next = self.rows.next_row();
        match &next {
            Some(Ok(record)) => self.row = record.row,
            Some(Err(bad)) if bad.is_input_lost() => self.ended = true,
            Some(Err(_)) if self.changed() => return self.lost(),
            Some(Err(bad)) => self.row = bad.row,
            None if self.changed() || self.len.is_some_and(|len| self.row < len) => return self.lost(),
            None => self.ended = true,
        }
        next
    }
}

#[cfg(test)]
mod tests;
