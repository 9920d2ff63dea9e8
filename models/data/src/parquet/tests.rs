use std::path::PathBuf;

use arrow::array::{ArrayRef, BinaryArray, Date32Array, Float64Array, Int64Array, ListArray, StringArray, StructArray};
use arrow::datatypes::{Field, Int32Type};
use parquet::arrow::ArrowWriter;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};

use super::*;
use crate::{ColumnType, ProductOptions, Products};

fn write(folder: &Path, columns: Vec<(&str, ArrayRef)>, group_rows: usize) -> PathBuf {
    let path = folder.join("a.parquet");
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn strings(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn columns_keep_their_types_and_embedded_images_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\xff\xd8"), None, None]));
    let images = StructArray::from(vec![
        (Arc::new(Field::new("bytes", bytes.data_type().clone(), true)), bytes.clone()),
        (
            Arc::new(Field::new("path", arrow::datatypes::DataType::Utf8, true)),
            strings(&[Some("a.jpg"), Some("b.jpg"), None]),
        ),
    ]);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    let path = write(
        folder.path(),
        vec![
            ("id", Arc::new(Int64Array::from(vec![7, 8, 9]))),
            ("title", strings(&[Some("红色"), None, Some("")])),
            ("image", Arc::new(images)),
            ("thumbnail", bytes),
            ("price", Arc::new(Float64Array::from(vec![1.5, f64::NAN, 2.0]))),
            ("since", Arc::new(Date32Array::from(vec![0, 1, 2]))),
            ("sizes", Arc::new(lists)),
        ],
        2,
    );
    let products = Products::open(&path, &ProductOptions::default()).unwrap();
    let columns: Vec<_> = products.columns().iter().map(|column| (column.name.clone(), column.ty)).collect();
    let column = |name: &str, ty| (name.to_owned(), ty);
    assert_eq!(
        columns,
        [column("price", ColumnType::Float), column("since", ColumnType::Text), column("sizes", ColumnType::Json)]
    );
    assert_eq!(products.row_count(), Some(3));
    let products: Vec<_> = products.collect::<Result<_, _>>().unwrap();
    assert_eq!(products.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["7", "8", "9"]);
    assert_eq!(products.iter().map(|p| p.row).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(products.iter().map(|p| p.title.as_deref()).collect::<Vec<_>>(), [Some("红色"), None, None]);
    assert_eq!(products[0].image.as_ref().unwrap().read().unwrap()[..], *b"\xff\xd8");
    assert_eq!(products[0].image.as_ref().unwrap().path(), Some("a.jpg"));
    assert_eq!(products[1].image.as_ref().unwrap().read().unwrap_err().code, "image_missing");
    assert!(products[2].image.is_none());
    assert_eq!(products[0].columns, [json!(1.5), json!("1970-01-01"), json!([1, null])]);
    assert_eq!(products[1].columns, [Value::Null, json!("1970-01-02"), Value::Null]);
}

#[test]
fn plain_binary_columns_are_images_and_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        folder.path(),
        vec![
            ("id", Arc::new(BinaryArray::from_vec(vec![b"a", b"\xff"]))),
            ("title", strings(&[Some("x"), Some("y")])),
            ("image", Arc::new(BinaryArray::from_vec(vec![b"A", b"B"]))),
        ],
        10,
    );
    let products: Vec<_> = Products::open(&path, &ProductOptions::default()).unwrap().collect();
    assert_eq!(products[0].as_ref().unwrap().image.as_ref().unwrap().read().unwrap()[..], *b"A");
    assert_eq!(products[1].as_ref().unwrap_err().error.code, "invalid_utf8");
}

#[test]
fn one_title_that_is_not_utf8_costs_one_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let schema = parse_message_type("message m { required binary id (UTF8); required binary title (UTF8); }").unwrap();
    let mut writer = SerializedFileWriter::new(File::create(&path).unwrap(), Arc::new(schema), Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for values in [[&b"a"[..], b"b", b"c"], [b"one", b"\xff\xfe", b"three"]] {
        let values: Vec<ByteArray> = values.iter().map(|value| ByteArray::from(value.to_vec())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let products: Vec<_> = Products::open(&path, &ProductOptions::default()).unwrap().collect();
    assert_eq!(products[0].as_ref().unwrap().title.as_deref(), Some("one"));
    let bad = products[1].as_ref().unwrap_err();
    assert_eq!(
        (bad.id.as_deref(), bad.to_string()),
        (Some("b"), "row 2: invalid_utf8: `title` is not valid UTF-8".into())
    );
    assert_eq!(products[2].as_ref().unwrap().title.as_deref(), Some("three"));
}

#[test]
fn a_damaged_row_group_costs_its_own_rows() {
    let folder = tempfile::tempdir().unwrap();
    let ids: Vec<String> = (0..300).map(|i| format!("product-{i}")).collect();
    let ids: Vec<Option<&str>> = ids.iter().map(|id| Some(id.as_str())).collect();
    let path = write(folder.path(), vec![("id", strings(&ids)), ("title", strings(&ids))], 100);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&File::open(&path).unwrap()).unwrap();
    let (start, length) = metadata.row_group(1).column(1).byte_range();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[start as usize..(start + length) as usize].fill(0xff);
    std::fs::write(&path, &bytes).unwrap();
    let products: Vec<_> = Products::open(&path, &ProductOptions::default()).unwrap().collect();
    assert_eq!(products.len(), 300);
    for (row, product) in products.iter().enumerate() {
        match product {
            Ok(product) => {
                assert!(!(100..200).contains(&row));
                assert_eq!((product.row, product.id.clone()), (row as u64 + 1, format!("product-{row}")));
            }
            Err(bad) => {
                assert!((100..200).contains(&row), "{bad}");
                assert_eq!((bad.row, bad.error.code), (row as u64 + 1, "unreadable_row"));
            }
        }
    }

    bytes.truncate(bytes.len() / 2);
    std::fs::write(&path, &bytes).unwrap();
    let error = Products::open(&path, &ProductOptions::default()).unwrap_err().to_string();
    assert!(error.contains("not a Parquet file, or cut short"), "{error}");
}

#[test]
fn a_file_with_any_byte_changed_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<String> = (0..200).map(|i| format!("title {i} {}", "x".repeat(i % 17))).collect();
    let texts: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
    let bytes: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\xff\xd8\xff"); 200]));
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>((0..200).map(|i| Some(vec![Some(i); 3])));
    let columns = vec![
        ("id", strings(&texts)),
        ("title", strings(&texts)),
        ("image", bytes),
        ("sizes", Arc::new(lists) as ArrayRef),
    ];
    let path = write(folder.path(), columns, 100);
    let sound = std::fs::read(&path).unwrap();
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..600 {
        let mut changed = sound.clone();
        for _ in 0..=random(3) {
            let position = random(changed.len());
            changed[position] = random(256) as u8;
        }
        std::fs::write(&path, &changed).unwrap();
        if let Ok(products) = Products::open(&path, &ProductOptions::default()) {
            let count = products.row_count();
            assert_eq!(Some(products.count() as u64), count);
        }
    }
}
