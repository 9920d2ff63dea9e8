use std::sync::Arc;

use arrow::array::{
    BinaryArray, BooleanArray, DictionaryArray, Float32Array, Int32Array, ListArray, NullArray, StringArray,
    StringViewArray, StructArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{Int8Type, Int32Type};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use serde_json::json;

use super::*;
use crate::cell::Cell;
use crate::table::testing::rows;

fn batch() -> RecordBatch {
    let id: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let title: ArrayRef =
        Arc::new(StringViewArray::from(vec![Some("红"), None, Some("a title that is longer than twelve")]));
    let kind: ArrayRef =
        Arc::new(vec![Some("x"), Some("y"), Some("x")].into_iter().collect::<DictionaryArray<Int8Type>>());
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some(&b"B"[..]), None, None]));
    let path: ArrayRef = Arc::new(StringArray::from(vec![None, Some("p.jpg"), None]));
    let field = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
    let image: ArrayRef =
        Arc::new(StructArray::from(vec![(field("bytes", &bytes), bytes.clone()), (field("path", &path), path)]));
    let sizes: ArrayRef =
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]));
    let time: ArrayRef = Arc::new(TimestampSecondArray::from(vec![0, 1, 2]));
    RecordBatch::try_from_iter_with_nullable([
        ("id", id, true),
        ("title", title, true),
        ("kind", kind, true),
        ("image", image, true),
        ("sizes", sizes, true),
        ("time", time, true),
        ("raw", bytes, true),
        ("yes", Arc::new(BooleanArray::from(vec![true, false, true])) as ArrayRef, true),
        ("price", Arc::new(Float32Array::from(vec![1.5, f32::NAN, 2.0])) as ArrayRef, true),
        ("count", Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef, true),
        ("big", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1])) as ArrayRef, true),
        ("none", Arc::new(NullArray::new(3)) as ArrayRef, true),
    ])
    .unwrap()
}

fn stream(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn table(bytes: Vec<u8>) -> Result<Table, ReadError> {
    let selection = Selection { image: Some("image".to_owned()), ..Selection::default() };
    open(Path::new("test"), Box::new(std::io::Cursor::new(bytes)), &selection)
}

#[test]
fn streams_and_files_give_the_same_rows() {
    let batches = [batch(), batch().slice(1, 2)];
    let mut file = FileWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| file.write(batch).unwrap());
    file.finish().unwrap();
    let compressed = |kind| IpcWriteOptions::default().try_with_compression(Some(kind)).unwrap();
    for bytes in [
        stream(&batches, IpcWriteOptions::default()),
        stream(&batches, compressed(CompressionType::LZ4_FRAME)),
        stream(&batches, compressed(CompressionType::ZSTD)),
        file.into_inner().unwrap(),
    ] {
        let table = table(bytes).unwrap();
        let types: Vec<_> = table.columns.iter().map(|column| (column.name.as_str(), column.ty)).collect();
        use ColumnType::{Bool, Float, Int, Json, Text};
        assert_eq!(
            types,
            [
                ("id", Text),
                ("title", Text),
                ("kind", Text),
                ("image", Text),
                ("sizes", Json),
                ("time", Text),
                ("yes", Bool)
            ]
            .into_iter()
            .chain([("price", Float), ("count", Int), ("big", Text), ("none", Text)])
            .collect::<Vec<_>>(),
            "raw bytes are left out"
        );
        let rows = rows(table);
        assert_eq!(rows.len(), 5);
        let cells = |row: usize| &rows[row].as_ref().unwrap().cells;
        let value = |value| Cell::Value(value);
        assert_eq!(cells(0)[..3], [value(json!("a")), value(json!("红")), value(json!("x"))]);
        assert_eq!(cells(0)[3], Cell::Image { bytes: Some(b"B".to_vec()), path: None });
        assert_eq!(cells(0)[4..6], [value(json!([1, null])), value(json!("1970-01-01T00:00:00"))]);
        assert_eq!(cells(0)[6..8], [value(json!(true)), value(json!(1.5))]);
        assert_eq!(cells(0)[8..], [value(json!(1)), value(json!(u64::MAX)), value(json!(null))]);
        assert_eq!(cells(1)[..3], [value(json!("b")), value(json!(null)), value(json!("y"))]);
        assert_eq!(cells(1)[3], Cell::Image { bytes: None, path: Some("p.jpg".to_owned()) });
        assert_eq!(cells(1)[7], value(json!(null)), "JSON has no NaN");
        assert_eq!(cells(3), cells(1));
        assert_eq!(rows[4].as_ref().unwrap().row, 5);
    }
}

#[test]
fn a_title_that_is_not_text_stays_alone() {
    let good = StringArray::from(vec!["aa", "bb"]);
    let schema = Arc::new(Schema::new(vec![Field::new("title", DataType::Utf8, true)]));
    let mut bytes = stream(&[RecordBatch::try_new(schema, vec![Arc::new(good)]).unwrap()], IpcWriteOptions::default());
    let place = bytes.windows(4).position(|window| window == b"aabb").unwrap();
    bytes[place] = 0xff;
    let rows = rows(table(bytes).unwrap());
    assert_eq!(rows[0].as_ref().unwrap().cells, [Cell::InvalidUtf8]);
    assert_eq!(rows[1].as_ref().unwrap().cells, [Cell::Value(json!("bb"))]);
}

#[test]
fn wherever_a_stream_is_cut_it_is_told() {
    let bytes = stream(&[batch(), batch()], IpcWriteOptions::default());
    for cut in (0..bytes.len()).step_by(7) {
        let Ok(table) = table(bytes[..cut].to_vec()) else { continue };
        let rows = rows(table);
        let (last, whole) = rows.split_last().unwrap();
        assert!(last.as_ref().is_err_and(|error| error.ends_with("input_lost")), "{cut}: {last:?}");
        assert!(whole.len() % 3 == 0 && whole.iter().all(Result::is_ok), "{cut}");
    }
    assert_eq!(rows(table(bytes).unwrap()).len(), 6);
}

#[test]
fn whatever_is_damaged_ends_in_errors() {
    let bytes = stream(&[batch()], IpcWriteOptions::default());
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x55;
        if let Ok(table) = table(damaged) {
            // Damage to the number of rows can make it large.
            let mut table = table;
            for _ in 0..100 {
                if table.rows.next_row().is_none() {
                    break;
                }
            }
        }
    }
    assert!(table(b"ARROW1\0\0PAR1".to_vec()).is_err());
    assert!(table(Vec::new()).err().unwrap().to_string().contains("not Arrow IPC, or cut short"));
}
