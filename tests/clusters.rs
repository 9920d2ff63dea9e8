//! `mbsd tag --stdio`, alone and within Spark and Ray.
//!
//! Spark and Ray are opt-in: `MBSD_SPARK_PYTHON` and `MBSD_RAY_PYTHON` name a Python with pyspark, or with ray, and
//! pyarrow; Spark wants a Java 17 or 21.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float32Type};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use mbsd_spec::Task;
use mbsd_tests::assert_same_rows;
use mbsd_tests::binaries::{program, run, succeed};
use mbsd_tests::bundles::SmallBundle;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Files of the folder that is tagged.
const FILES: usize = 4;

/// Rows of a file.
const ROWS: usize = 150;

fn products(file: usize) -> RecordBatch {
    let rows = file * ROWS..(file + 1) * ROWS;
    let id: ArrayRef = Arc::new(StringArray::from_iter_values(rows.clone().map(|row| format!("p{row}"))));
    let title = |row: usize| (row % 40 != 3).then(|| format!("dress {row} {}", "x".repeat(row * 7 % 13)));
    let titles: ArrayRef = Arc::new(StringArray::from_iter(rows.clone().map(title)));
    let price: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.map(|row| row as i64)));
    RecordBatch::try_from_iter_with_nullable([("id", id, true), ("title", titles, true), ("price", price, true)])
        .unwrap()
}

struct Setup {
    folder: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let setup = Self { folder: tempfile::tempdir().unwrap() };
        SmallBundle::of(Task::Match).write(&setup.at("bundle"));
        fs::write(setup.at("tags.txt"), "colour:red\ncolour:blue\nsleeve:long\n").unwrap();
        fs::create_dir(setup.at("products")).unwrap();
        for file in 0..FILES {
            let batch = products(file);
            let path = setup.at("products").join(format!("part-{file}.parquet"));
            let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
        }
        setup
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self) -> Vec<String> {
        let path = |name: &str| self.at(name).display().to_string();
        let own = ["--bundle", &path("bundle"), "--tags", &path("tags.txt"), "--threads", "1", "--threshold", "0"];
        own.map(str::to_owned).into()
    }

    /// The rows of the documented command on one machine.
    fn tagged(&self) -> Vec<String> {
        let out = self.at("alone.parquet");
        let mut command = program("mbsd");
        command.arg("tag").args(self.arguments()).arg("--input").arg(self.at("products")).arg("--output").arg(&out);
        succeed(&mut command);
        let mut rows = read(&out);
        rows.sort();
        rows
    }
}

/// The rows of a Parquet file, as text.
fn read(path: &Path) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    reader.flat_map(|batch| texts(&batch.unwrap())).collect()
}

/// Rows as text: id, price, tags with their scores, variant and error.
fn texts(batch: &RecordBatch) -> Vec<String> {
    let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}")).clone();
    let text = |array: &ArrayRef, row: usize| {
        let array = arrow::compute::cast(array, &DataType::Utf8).unwrap();
        if array.is_null(row) { "-".to_owned() } else { array.as_string::<i32>().value(row).to_owned() }
    };
    let (id, price, variant, error) = (column("id"), column("price"), column("variant"), column("error"));
    let tags = column("tags");
    let list = |row: usize| {
        if tags.is_null(row) {
            return String::new();
        }
        let items = tags.as_list::<i32>().value(row);
        let (names, scores) = (items.as_struct().column(0).clone(), items.as_struct().column(1).clone());
        let score = |item: usize| scores.as_primitive::<Float32Type>().value(item);
        (0..names.len()).map(|item| format!("{}={} ", text(&names, item), score(item))).collect()
    };
    let row =
        |row: usize| [text(&id, row), text(&price, row), list(row), text(&variant, row), text(&error, row)].join("|");
    (0..batch.num_rows()).map(row).collect()
}

/// All rows of the Parquet files in a folder, sorted.
fn read_folder(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut rows: Vec<String> =
        files.filter(|path| path.extension().is_some_and(|e| e == "parquet")).flat_map(|path| read(&path)).collect();
    rows.sort();
    rows
}

#[test]
fn streams_of_the_standard_input_get_the_scores_of_a_file() {
    let setup = Setup::new();
    let mut child = program("mbsd")
        .args(["tag", "--stdio"])
        .args(setup.arguments())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut rows = Vec::new();
    for file in 0..FILES {
        let batch = products(file);
        let mut stream = StreamWriter::try_new(&mut input, &batch.schema()).unwrap();
        stream.write(&batch).unwrap();
        stream.finish().unwrap();
        input.flush().unwrap();
        // The next stream goes in when this one is answered: nothing waits for the end of the input.
        let reader = StreamReader::try_new(&mut output, None).unwrap();
        reader.for_each(|batch| rows.extend(texts(&batch.unwrap())));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    rows.sort();
    assert_same_rows(&rows, &setup.tagged());

    let mut command = program("mbsd");
    command
        .args(["tag", "--stdio"])
        .args(setup.arguments())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut bytes = Vec::new();
    let batch = products(0);
    let mut stream = StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    stream.write(&batch).unwrap();
    stream.finish().unwrap();
    child.stdin.take().unwrap().write_all(&bytes[..bytes.len() / 2]).unwrap();
    let ended = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(1) && message.contains("ends in the middle of a message"), "{message}");
    let (code, _, message) = run(program("mbsd").args(["tag", "--tags", "t", "--bundle", "b"]));
    assert!(code == 2 && message.contains("--input"), "{message}");
}

/// A Python that is named for a test, or the news that the test is left out.
fn python(variable: &str) -> Option<Command> {
    let Some(python) = std::env::var_os(variable) else {
        println!("skipped: {variable} is not set");
        return None;
    };
    let mut command = Command::new(python);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../integrations"));
    command.env("MBSD", program("mbsd").get_program());
    Some(command)
}

#[test]
fn spark_gives_the_rows_of_one_machine() {
    let Some(mut python) = python("MBSD_SPARK_PYTHON") else { return };
    let setup = Setup::new();
    // Spark's workers are to be of the same Python, not of the first in the path.
    let interpreter = python.get_program().to_owned();
    python.env("PYSPARK_PYTHON", interpreter);
    python.env("PYSPARK_SUBMIT_ARGS", "--master local[2] pyspark-shell").arg("mbsd_spark.py");
    python
        .arg("--input")
        .arg(setup.at("products"))
        .arg("--output")
        .arg(setup.at("out"))
        .arg("--")
        .args(setup.arguments());
    succeed(&mut python);
    let rows = read_folder(&setup.at("out"));
    assert_eq!(rows.len(), FILES * ROWS);
    assert_same_rows(&rows, &setup.tagged());
}

#[test]
fn ray_gives_the_rows_of_one_machine() {
    let Some(mut python) = python("MBSD_RAY_PYTHON") else { return };
    let setup = Setup::new();
    python.arg("mbsd_ray.py").arg("--input").arg(setup.at("products")).arg("--output").arg(setup.at("out"));
    python.args(["--actors", "2", "--"]).args(setup.arguments());
    succeed(&mut python);
    let rows = read_folder(&setup.at("out"));
    assert_eq!(rows.len(), FILES * ROWS);
    assert_same_rows(&rows, &setup.tagged());
}
