use std::fs;
use std::io::Write;

use serde_json::json;

use super::*;
use crate::cell::ColumnType;
use crate::table::testing::rows;

fn values(row: &Result<Record, String>) -> Result<(u64, serde_json::Value), String> {
    let cell = |cell: &Cell| if let Cell::Value(value) = cell { value.clone() } else { json!("?") };
    row.as_ref().map(|record| (record.row, record.cells.iter().map(cell).collect())).map_err(Clone::clone)
}

#[test]
fn rows_are_numbered_on_and_columns_put_together() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1.jsonl"), "{\"id\": \"a\", \"n\": 1}\n{\n").unwrap();
    let packed = fs::File::create(folder.path().join("2.jsonl.gz")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    packed.write_all(b"{\"m\": true, \"id\": \"b\", \"n\": 0.5}\n").unwrap();
    packed.finish().unwrap();
    let packed = zstd::encode_all(&b"{\"id\": \"c\"}\n\n"[..], 1).unwrap();
    fs::write(folder.path().join("3.jsonl.zst"), packed).unwrap();
    let table = Table::open(folder.path(), &Selection::default()).unwrap();
    let types: Vec<_> = table.columns.iter().map(|column| (column.name.as_str(), column.ty)).collect();
    assert_eq!(types, [("id", ColumnType::Text), ("n", ColumnType::Float), ("m", ColumnType::Bool)]);
    assert_eq!(table.len, Some(4));
    let rows: Vec<_> = rows(table).iter().map(values).collect();
    assert_eq!(
        rows,
        [
            Ok((1, json!(["a", 1, null]))),
            Err("2: invalid_json".to_owned()),
            Ok((3, json!(["b", 0.5, true]))),
            Ok((4, json!(["c", null, null])))
        ]
    );
}

/// What is read of `a.csv` and `b.csv` with three rows each, if `after` happens when two rows were read.
fn read_while(after: impl FnOnce(&Path)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.csv", "b.csv"] {
        // Longer than what a reader takes at once, so that it does not have the end already.
        let rows: String = (0..3).map(|row| format!("{row},{}\n", "x".repeat(300_000))).collect();
        fs::write(folder.path().join(name), format!("id,title\n{rows}")).unwrap();
    }
    let mut table = Table::open(folder.path(), &Selection::default()).unwrap();
    let mut next =
        || table.rows.next_row().map(|row| row.map_or_else(|bad| bad.to_string(), |row| row.row.to_string()));
    let mut read: Vec<String> = (0..2).filter_map(|_| next()).collect();
    after(folder.path());
    read.extend(std::iter::from_fn(next));
    read
}

#[test]
fn an_input_that_is_cut_gone_or_written_to_is_told() {
    assert_eq!(read_while(|_| ()), ["1", "2", "3", "4", "5", "6"]);
    let cut = |name: &'static str| {
        move |folder: &Path| {
            fs::OpenOptions::new().write(true).open(folder.join(name)).unwrap().set_len(700_000).unwrap();
        }
    };
    let read = read_while(cut("a.csv"));
    assert!(read.last().unwrap().contains("input_lost") && read.len() <= 4, "{read:?}");
    let read = read_while(cut("b.csv"));
    assert_eq!(read[..3], ["1", "2", "3"]);
    assert!(
        read[3].starts_with("row 4: input_lost: ") && read[3].ends_with("b.csv was changed after the input was opened")
    );
    let read = read_while(|folder| fs::remove_file(folder.join("b.csv")).unwrap());
    assert!(read[3].contains("input_lost: cannot read ") && read.len() == 4, "{read:?}");
    let read = read_while(|folder| {
        let mut file = fs::OpenOptions::new().append(true).open(folder.join("a.csv")).unwrap();
        file.write_all(b"9,x\n").unwrap();
    });
    assert!(read.last().unwrap().contains("changed while it was read"), "{read:?}");
}

#[test]
fn compressed_text_that_is_cut_short_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..40_000).map(|row| format!("{row},title {}\n", row * 7919 % 10_007)).collect();
    let text = format!("id,title\n{text}");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    for (name, bytes) in
        [("a.csv.gz", gzip.finish().unwrap()), ("a.csv.zst", zstd::encode_all(text.as_bytes(), 1).unwrap())]
    {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(rows(Table::open(&path, &Selection::default()).unwrap()).len(), 40_000);
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        // A short one is cut before its header can be read.
        let Ok(table) = Table::open(&path, &Selection::default()) else { continue };
        let read = rows(table);
        assert!(read.last().unwrap().as_ref().is_err_and(|error| error.ends_with("input_lost")), "{name}");
    }
}
