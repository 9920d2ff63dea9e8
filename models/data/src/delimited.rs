//! CSV and TSV: a header line, then one row a record.

use std::fs::File;
use std::path::Path;

use csv::ByteRecord;

use crate::cell::{Cell, Column, ColumnType, Record};
use crate::error::{BadRow, ReadError, codes};
use crate::table::{Rows, Selection, Table};

/// How fields are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Commas; fields may be quoted (RFC 4180).
    Csv,
    /// Tabs, no quoting: a quote is a character like any other, as in `15" screen` (IANA text/tab-separated-values).
    Tsv,
}

/// Opens a file and reads its header.
pub(crate) fn open(path: &Path, dialect: Dialect, selection: &Selection) -> Result<Table, ReadError> {
    let file = File::open(path).map_err(ReadError::io(path))?;
    let mut input = csv::ReaderBuilder::new()
        .delimiter(if dialect == Dialect::Csv { b',' } else { b'\t' })
        .quoting(dialect == Dialect::Csv)
        .flexible(true)
        .from_reader(file);
    let header = input.byte_headers().map_err(|error| ReadError::broken(path, error.to_string()))?.clone();
    let mut names: Vec<String> = Vec::new();
    let mut columns = Vec::new();
    let mut positions = Vec::new();
    for (position, name) in header.iter().enumerate() {
        let name = if position == 0 { name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name) } else { name };
        let name = std::str::from_utf8(name)
            .map_err(|_| ReadError::broken(path, "the header is not UTF-8; save the file as UTF-8"))?;
        if names.iter().any(|known| known == name) {
            return Err(ReadError::broken(path, format!("the header names the column `{name}` twice")));
        }
        names.push(name.to_owned());
        if selection.wants(name) {
            columns.push(Column { name: name.to_owned(), ty: ColumnType::Text });
            positions.push(position);
        }
    }
    let rows =
        DelimitedRows { input, positions, fields: header.len(), record: ByteRecord::new(), row: 0, failed: false };
    Ok(Table { path: path.to_owned(), columns, names, len: None, rows: Box::new(rows) })
}

struct DelimitedRows {
    input: csv::Reader<File>,
    /// Where in a record the wanted columns are.
    positions: Vec<usize>,
    /// Fields of the header.
    fields: usize,
    record: ByteRecord,
    row: u64,
    /// Reading failed: what follows is lost.
    failed: bool,
}

impl Rows for DelimitedRows {
    fn next_row(&mut self) -> Option<Result<Record, BadRow>> {
        if self.failed {
            return None;
        }
        let read = self.input.read_byte_record(&mut self.record);
        self.row += 1;
        match read {
            Ok(false) => None,
            Ok(true) if self.record.len() != self.fields => {
                let line = self.record.position().map_or(0, csv::Position::line);
                let message = format!("line {line} has {} fields, the header {}", self.record.len(), self.fields);
                Some(Err(BadRow::unreadable(self.row, codes::FIELD_COUNT, message)))
            }
            Ok(true) => {
                let cells = self.positions.iter().map(|&position| Cell::text(&self.record[position])).collect();
                Some(Ok(Record { row: self.row, cells }))
            }
            // Records may have any number of fields here, so only reading itself can fail.
            Err(error) => {
                self.failed = true;
                let message = format!("the file cannot be read from here on: {error}");
                Some(Err(BadRow::unreadable(self.row, codes::UNREADABLE_ROW, message)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::testing::read;

    fn texts(row: &Result<Record, String>) -> Vec<String> {
        match row {
            Ok(record) => record
                .cells
                .iter()
                .map(|cell| match cell {
                    Cell::Value(value) => value.as_str().unwrap().to_owned(),
                    other => format!("{other:?}"),
                })
                .collect(),
            Err(error) => vec![error.clone()],
        }
    }

    #[test]
    fn csv_fields_may_be_quoted() {
        let rows = read("a.csv", "\u{feff}id,title\r\n1,\"a, \"\"b\"\"\nc\"\r\n2,\n");
        assert_eq!(rows.iter().map(texts).collect::<Vec<_>>(), [vec!["1", "a, \"b\"\nc"], vec!["2", ""]]);
    }

    #[test]
    fn tsv_takes_quotes_as_they_are() {
        let rows = read("a.tsv", "id\ttitle\n1\t\"15\" screen\n2\t半高领,白\n");
        assert_eq!(rows.iter().map(texts).collect::<Vec<_>>(), [vec!["1", "\"15\" screen"], vec!["2", "半高领,白"]]);
    }

    #[test]
    fn a_ragged_or_misencoded_row_does_not_stop_the_others() {
        let rows = read("a.csv", b"id,title\n1\n2,a,b\n3,\xff\n4,d\n");
        assert_eq!(
            rows.iter().map(texts).collect::<Vec<_>>(),
            [vec!["1: field_count"], vec!["2: field_count"], vec!["3", "InvalidUtf8"], vec!["4", "d"]]
        );
    }

    #[test]
    fn a_header_must_be_sound() {
        let folder = tempfile::tempdir().unwrap();
        for (content, message) in [
            (&b"id,id\n1,2\n"[..], "the header names the column `id` twice"),
            (b"id,\xff\n1,2\n", "the header is not UTF-8"),
        ] {
            let path = folder.path().join("a.csv");
            std::fs::write(&path, content).unwrap();
            let error = Table::open(&path, &Selection::default()).err().unwrap().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
