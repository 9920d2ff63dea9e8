//! JSON Lines: one object a line.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use crate::cell::{Cell, Column, ColumnType, Record};
use crate::error::{BadRow, ReadError, codes};
use crate::format::{Text, open_text};
use crate::table::{Rows, Selection, Table};

/// Lines over this many bytes are bad rows, so that a file without line breaks is not read into memory whole.
const MAX_LINE_BYTES: usize = 32 << 20;

/// Opens a file after one pass over it for the columns and their types, since any object may bring its own fields.
pub(crate) fn open(path: &Path, selection: &Selection) -> Result<Table, ReadError> {
    let mut lines = Lines::open(path)?;
    let mut columns: Vec<(String, Option<ColumnType>)> = Vec::new();
    let mut len = 0;
    while let Some(line) = lines.next_line().map_err(ReadError::io(path))? {
        len += 1;
        let Line::Whole(bytes) = line else { continue };
        let Ok(Fields(fields)) = serde_json::from_slice(bytes) else { continue };
        for (name, ty) in fields {
            if let Some((_, known)) = columns.iter_mut().find(|(known, _)| *known == name) {
                *known = match (*known, ty) {
                    (Some(a), Some(b)) => Some(a.or(b)),
                    (known, ty) => known.or(ty),
                };
            } else {
                columns.push((name, ty));
            }
        }
    }
    let names = columns.iter().map(|(name, _)| name.clone()).collect();
    columns.retain(|(name, _)| selection.wants(name));
    let columns: Vec<Column> =
        columns.into_iter().map(|(name, ty)| Column { name, ty: ty.unwrap_or(ColumnType::Text) }).collect();
    let selected = columns.iter().map(|column| column.name.clone()).collect();
    let rows = JsonRows { lines: Lines::open(path)?, names: selected, row: 0 };
    Ok(Table { path: path.to_owned(), columns, names, len: Some(len), rows: Box::new(rows) })
}

struct JsonRows {
    lines: Lines,
    /// The selected fields.
    names: Vec<String>,
    row: u64,
}

impl Rows for JsonRows {
    fn next_row(&mut self) -> Option<Result<Record, BadRow>> {
        self.row += 1;
        let cells = match self.lines.next_line() {
            Ok(None) => return None,
            Ok(Some(Line::Whole(bytes))) => parse(bytes, &self.names),
            Ok(Some(Line::TooLong)) => Err((codes::ROW_TOO_LARGE, format!("over {MAX_LINE_BYTES} bytes"))),
            Err(error) => {
                self.lines.ended = true;
                Err((codes::INPUT_LOST, format!("the file cannot be read from here on: {error}")))
            }
        };
        Some(match cells {
            Ok(cells) => Ok(Record { row: self.row, cells }),
            Err((code, reason)) => {
                Err(BadRow::unreadable(self.row, code, format!("line {}: {reason}", self.lines.number)))
            }
        })
    }
}

/// The cells of one line, or a code and what is wrong with it.
fn parse(line: &[u8], names: &[String]) -> Result<Vec<Cell>, (&'static str, String)> {
    let text = std::str::from_utf8(line)
        .map_err(|error| (codes::INVALID_UTF8, format!("invalid UTF-8 at byte {}", error.valid_up_to() + 1)))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(mut object)) => {
            Ok(names.iter().map(|name| object.remove(name).map_or(Cell::NULL, Cell::Value)).collect())
        }
        Ok(_) => Err((codes::INVALID_JSON, "not a JSON object".to_owned())),
        Err(error) => Err((codes::INVALID_JSON, format!("not JSON: {}", reason_without_line(&error)))),
    }
}

/// The message of a JSON error with its column but without its line, which is always 1.
fn reason_without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text);
    format!("{reason} at column {}", error.column())
}

/// The non-blank lines of a file, without their line breaks.
struct Lines {
    input: BufReader<Text>,
    buffer: Vec<u8>,
    /// Number of the last line read, blank ones counted.
    number: u64,
    ended: bool,
}

enum Line<'a> {
    Whole(&'a [u8]),
    TooLong,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, ReadError> {
        Ok(Self {
            input: BufReader::with_capacity(1 << 16, open_text(path)?),
            buffer: Vec::new(),
            number: 0,
            ended: false,
        })
    }

    fn next_line(&mut self) -> std::io::Result<Option<Line<'_>>> {
        while !self.ended {
            self.buffer.clear();
            let too_long = self.fill()?;
            if too_long {
                return Ok(Some(Line::TooLong));
            }
            if self.ended && self.buffer.is_empty() {
                break;
            }
            if self.number == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
            }
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(Line::Whole(&self.buffer)));
            }
        }
        Ok(None)
    }

    /// Reads to the next line break or the end; whether the line was over the limit, and then skipped.
    fn fill(&mut self) -> std::io::Result<bool> {
        let mut too_long = false;
        self.number += 1;
        loop {
            let available = self.input.fill_buf()?;
            if available.is_empty() {
                self.ended = true;
                return Ok(too_long);
            }
            let end = available.iter().position(|&byte| byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            if self.buffer.len() + part.len() > MAX_LINE_BYTES {
                too_long = true;
                self.buffer.clear();
            }
            if !too_long {
                self.buffer.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(too_long);
            }
        }
    }
}

/// The field names of an object in their order, and the types of their values.
struct Fields(Vec<(String, Option<ColumnType>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    fields.push((name, ColumnType::of(&value)));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::table::testing::read;

    fn cells(values: &[Value]) -> Vec<Cell> {
        values.iter().cloned().map(Cell::Value).collect()
    }

    #[test]
    fn columns_are_the_union_in_order_of_appearance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "{\"id\": 1, \"b\": 1, \"a\": null}\n{\"b\": 2.5, \"c\": true, \"id\": \"x\"}").unwrap();
        let table = Table::open(&path, &Selection::default()).unwrap();
        let column = |name: &str, ty| Column { name: name.to_owned(), ty };
        assert_eq!(
            table.columns,
            [
                column("id", ColumnType::Json),
                column("b", ColumnType::Float),
                column("a", ColumnType::Text),
                column("c", ColumnType::Bool)
            ]
        );
        assert_eq!(table.len, Some(2));
        let rows = crate::table::testing::rows(table);
        assert_eq!(rows[1].as_ref().unwrap().cells, cells(&[json!("x"), json!(2.5), json!(null), json!(true)]));
    }

    #[test]
    fn a_broken_line_does_not_stop_the_others() {
        let mut content = b"\xef\xbb\xbf{\"id\": \"a\"}\r\n\n{\"id\": \"b\", \n{\"id\": \"\xff\"}\n[1]\n".to_vec();
        content.extend_from_slice(b"{\"id\": \"c\"} {}\n{\"id\": \"d\"}");
        let rows = read("a.jsonl", content);
        let text = |row: &Result<Record, String>| match row {
            Ok(record) => format!("{}: {:?}", record.row, record.cells[0]),
            Err(error) => error.clone(),
        };
        assert_eq!(
            rows.iter().map(text).collect::<Vec<_>>(),
            [
                "1: Value(String(\"a\"))",
                "2: invalid_json",
                "3: invalid_utf8",
                "4: invalid_json",
                "5: invalid_json",
                "6: Value(String(\"d\"))"
            ]
        );
    }

    #[test]
    fn a_line_without_end_is_skipped_without_being_held() {
        let mut content = b"{\"id\": \"".to_vec();
        content.resize(MAX_LINE_BYTES + 10, b'x');
        content.extend_from_slice(b"\"}\n{\"id\": \"b\"}\n");
        let rows = read("a.jsonl", content);
        assert_eq!(rows[0], Err("1: row_too_large".to_owned()));
        assert_eq!(rows[1].as_ref().unwrap().cells, cells(&[json!("b")]));
    }

    #[test]
    fn the_message_names_the_line_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "\n\n{\"id\": 1}\n{\"id\": tru}\n").unwrap();
        let mut table = Table::open(&path, &Selection::default()).unwrap();
        assert!(table.rows.next_row().unwrap().is_ok());
        let bad = table.rows.next_row().unwrap().unwrap_err();
        assert_eq!(bad.to_string(), "row 2: invalid_json: line 4: not JSON: expected ident at column 11");
        assert!(table.rows.next_row().is_none());
    }
}
