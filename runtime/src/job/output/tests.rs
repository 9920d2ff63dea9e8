use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float32Type, Int64Type};
use serde_json::json;

use super::*;

fn columns() -> Vec<OutputColumn> {
    vec![
        OutputColumn::new("id", FieldType::Text),
        OutputColumn::new("price", FieldType::Input(ColumnType::Int)),
        OutputColumn::new("extra", FieldType::Input(ColumnType::Json)),
        OutputColumn::new("tags", FieldType::Scores("tag")),
        OutputColumn::new("vector", FieldType::Vector(2)),
        OutputColumn::new("match", FieldType::Bool),
    ]
}

fn rows() -> Vec<Vec<Field>> {
    vec![
        vec![
            Field::Text("领".to_owned()),
            Field::Value(json!(7)),
            Field::Value(json!("1")),
            Field::Scores(vec![("a:b".to_owned(), 0.75), ("c".to_owned(), 0.1)]),
            Field::Vector(vec![1.5, -2.0]),
            Field::Bool(true),
        ],
        vec![Field::Null, Field::Null, Field::Value(json!([1])), Field::Null, Field::Null, Field::Null],
        vec![
            Field::Text(String::new()),
            Field::Value(json!(null)),
            Field::Value(json!(null)),
            Field::Scores(Vec::new()),
            Field::Vector(vec![0.0, 0.1]),
            Field::Bool(false),
        ],
    ]
}

fn write(path: &Path) {
    let mut file = OutputFile::create(path, &columns(), &[]).unwrap();
    for row in rows() {
        file.write(&row).unwrap();
    }
    file.finish().unwrap();
}

#[test]
fn json_lines_keep_the_order_of_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    write(&path);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        concat!(
            r#"{"id":"领","price":7,"extra":"1","tags":[{"tag":"a:b","score":0.75},{"tag":"c","score":0.1}],"#,
            r#""vector":[1.5,-2.0],"match":true}"#,
            "\n",
            r#"{"id":null,"price":null,"extra":[1],"tags":null,"vector":null,"match":null}"#,
            "\n",
            r#"{"id":"","price":null,"extra":null,"tags":[],"vector":[0.0,0.1],"match":false}"#,
            "\n"
        )
    );
}

#[test]
fn parquet_keeps_types_and_nulls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.parquet");
    write(&path);
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap().build().unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert_eq!(batch.num_rows(), 3);
    assert_eq!(batch.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("领"), None, Some("")]);
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(7), None, None]);
    let extra = batch.column(2).as_string::<i32>();
    assert_eq!(extra.iter().collect::<Vec<_>>(), [Some("\"1\""), Some("[1]"), None]);
    let tags = batch.column(3).as_list::<i32>();
    assert_eq!((tags.is_null(0), tags.is_null(1), tags.is_null(2)), (false, true, false));
    assert_eq!((tags.value(0).len(), tags.value(2).len()), (2, 0));
    let first = tags.value(0);
    let first = first.as_struct();
    assert_eq!(first.column_by_name("tag").unwrap().as_string::<i32>().value(0), "a:b");
    assert_eq!(first.column_by_name("score").unwrap().as_primitive::<Float32Type>().value(1), 0.1);
    let vectors = batch.column(4).as_fixed_size_list();
    assert_eq!((vectors.value_length(), vectors.is_null(1)), (2, true));
    assert_eq!(vectors.value(0).as_primitive::<Float32Type>().values()[..], [1.5, -2.0]);
    assert_eq!(batch.column(5).as_boolean().iter().collect::<Vec<_>>(), [Some(true), None, Some(false)]);
}

#[test]
fn an_earlier_file_stands_until_the_next_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.jsonl", "out.parquet"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "earlier").unwrap();
        let mut file = OutputFile::create(&path, &columns(), &[]).unwrap();
        file.write(&rows()[0]).unwrap();
        drop(file);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "earlier");
        write(&path);
        assert_ne!(std::fs::read(&path).unwrap(), b"earlier");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
}

#[cfg(unix)]
#[test]
fn a_result_may_be_read_by_whoever_may_read_new_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    let path = folder.path().join("out.jsonl");
    write(&path);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&plain));
}
