//! CSV and TSV: a header line, or column names given from outside, then one row a record.

use std::path::Path;

use csv::ByteRecord;

use crate::cell::{Cell, Column, ColumnType, Record};
use crate::error::{BadRow, ReadError, codes};
use crate::format::{Text, open_text};
use crate::table::{Rows, Selection, Table};

/// How fields are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Commas; fields may be quoted (RFC 4180).
    Csv,
    /// Tabs, no quoting: a quote is a character like any other, as in `15" screen` (IANA text/tab-separated-values).
    Tsv,
}

/// Opens a file and reads its header, unless its columns are given.
pub(crate) fn open(path: &Path, dialect: Dialect, selection: &Selection) -> Result<Table, ReadError> {
    let mut input = csv::ReaderBuilder::new()
        .delimiter(if dialect == Dialect::Csv { b',' } else { b'\t' })
        .quoting(dialect == Dialect::Csv)
        .flexible(true)
        .has_headers(selection.header.is_none())
        .from_reader(open_text(path)?);
    let header = match &selection.header {
        Some(names) => ByteRecord::from(names.iter().map(String::as_bytes).collect::<Vec<_>>()),
        None => input.byte_headers().map_err(|error| ReadError::broken(path, error.to_string()))?.clone(),
    };
    let mut names: Vec<String> = Vec::new();
    let mut columns = Vec::new();
    let mut positions = Vec::new();
    for (position, name) in header.iter().enumerate() {
        let name = if position == 0 { name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name) } else { name };
        let name = std::str::from_utf8(name)
            .map_err(|_| ReadError::broken(path, "the header is not UTF-8; save the file as UTF-8"))?;
        if names.iter().any(|known| known == name) {
            let place = if selection.header.is_some() { "the given header" } else { "the header" };
            return Err(ReadError::broken(path, format!("{place} names the column `{name}` twice")));
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
    input: csv::Reader<Text>,
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
                Some(Err(BadRow::unreadable(self.row, codes::INPUT_LOST, message)))
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
    fn a_file_without_a_header_takes_the_given_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        std::fs::write(&path, "\u{feff}连衣裙\tt1\t1\n毛衣\tt2\n鞋\tt3\t0\n").unwrap();
        let header = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        let open = |path: &Path, names: &[&str]| {
            Table::open(path, &Selection { header: header(names), ..Selection::default() })
        };
        let table = open(&path, &["query", "title", "label"]).unwrap();
        assert_eq!(table.names, ["query", "title", "label"]);
        let rows = crate::table::testing::rows(table);
        assert_eq!(
            rows.iter().map(texts).collect::<Vec<_>>(),
            [vec!["连衣裙", "t1", "1"], vec!["2: field_count"], vec!["鞋", "t3", "0"]]
        );
        let error = open(&path, &["query", "query", "label"]).err().unwrap().to_string();
        assert!(error.contains("the given header names the column `query` twice"), "{error}");
        let jsonl = folder.path().join("a.jsonl");
        std::fs::write(&jsonl, "{}").unwrap();
        let error = open(&jsonl, &["query"]).err().unwrap().to_string();
        assert!(error.contains("its columns have names of their own"), "{error}");
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
