//! What goes wrong in a night: rows of all kinds of damage, a disk that is full, one that cannot be written, an input that is cut.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mbsd_spec::Task;
use mbsd_tests::assert_same_rows;
use mbsd_tests::binaries::{program, run, succeed};
use mbsd_tests::bundles::SmallBundle;
use serde_json::Value;

/// Rows of the job with damaged ones; `MBSD_FAULT_ROWS` asks for more.
const ROWS: usize = 1000;

/// What is wrong with a row: the code it must get, and the row, of its number.
type Damage = (&'static str, fn(usize) -> Vec<u8>);

const DAMAGES: [Damage; 10] = [
    ("invalid_json", |row| format!("{{\"id\": \"bad{row}\", \"title\": \"cut").into_bytes()),
    ("invalid_utf8", |row| [format!("{{\"id\": \"bad{row}\", \"title\": \"").as_bytes(), b"\xff\"}"].concat()),
    ("wrong_type", |row| format!("{{\"id\": \"bad{row}\", \"title\": [\"dress\"]}}").into_bytes()),
    ("missing_id", |_| b"{\"id\": null, \"title\": \"dress\"}".to_vec()),
    ("duplicate_id", |_| b"{\"id\": \"p0\", \"title\": \"another dress\"}".to_vec()),
    ("no_content", |row| format!("{{\"id\": \"bad{row}\", \"title\": \"  \", \"image\": \"\"}}").into_bytes()),
    ("image_missing", |row| with_image(row, "none.jpg")),
    ("image_not_an_image", |row| with_image(row, "page.jpg")),
    ("image_truncated", |row| with_image(row, "cut.jpg")),
    ("image_path_refused", |row| with_image(row, "../rgb.jpg")),
];

fn with_image(row: usize, image: &str) -> Vec<u8> {
    format!("{{\"id\": \"bad{row}\", \"title\": \"dress\", \"image\": \"{image}\"}}").into_bytes()
}

struct Job {
    folder: tempfile::TempDir,
}

impl Job {
    fn new() -> Self {
        let job = Self { folder: tempfile::tempdir().unwrap() };
        SmallBundle::of(Task::Match).write(&job.at("bundle"));
        fs::write(job.at("tags.txt"), "colour:red\ncolour:blue\nsleeve:long\n").unwrap();
        let image = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/images/rgb.jpg")).unwrap();
        fs::create_dir(job.at("images")).unwrap();
        fs::write(job.at("rgb.jpg"), &image).unwrap();
        fs::write(job.at("images/rgb.jpg"), &image).unwrap();
        fs::write(job.at("images/cut.jpg"), &image[..image.len() / 2]).unwrap();
        fs::write(job.at("images/page.jpg"), "<html>not found</html>").unwrap();
        job
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tag(&self, input: &Path, output: &Path) -> Command {
        let mut command = program("mbsd");
        command.arg("tag").arg("--bundle").arg(self.at("bundle")).arg("--input").arg(input);
        command
            .arg("--images")
            .arg(self.at("images"))
            .arg("--tags")
            .arg(self.at("tags.txt"))
            .arg("--output")
            .arg(output);
        command.args(["--threshold", "0", "--shard-rows", "50", "--shard-format", "jsonl", "--resume"]);
        command
    }
}

fn good(row: usize) -> String {
    let image = if row.is_multiple_of(25) { ", \"image\": \"rgb.jpg\"" } else { "" };
    format!("{{\"id\": \"p{row}\", \"title\": \"dress {row} {}\"{image}}}", "x".repeat(row * 7 % 13))
}

/// The lines of all files of a kind, in order.
fn lines(folder: &Path, kind: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(kind)).collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn one_row_in_a_hundred_is_damaged_and_none_of_the_others_is_lost_or_changed() {
    let rows = std::env::var("MBSD_FAULT_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(ROWS);
    let job = Job::new();
    let (mut clean, mut damaged, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        if row % 100 == 50 {
            let (code, damage) = DAMAGES[row / 100 % DAMAGES.len()];
            damaged.extend(damage(row));
            expected.push((row as i64 + 1, code));
        } else {
            clean.extend_from_slice(good(row).as_bytes());
            clean.push(b'\n');
            damaged.extend_from_slice(good(row).as_bytes());
        }
        damaged.push(b'\n');
    }
    fs::write(job.at("clean.jsonl"), clean).unwrap();
    fs::write(job.at("damaged.jsonl"), damaged).unwrap();
    let (whole, out) = (job.at("whole"), job.at("out"));
    succeed(&mut job.tag(&job.at("clean.jsonl"), &whole));
    let summary: Value = serde_json::from_str(&succeed(job.tag(&job.at("damaged.jsonl"), &out).arg("--json"))).unwrap();
    assert_same_rows(&lines(&out, "part"), &lines(&whole, "part"));
    let quarantined: Vec<Value> =
        lines(&out, "quarantine").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<(i64, &str)> =
        quarantined.iter().map(|row| (row["row"].as_i64().unwrap(), row["code"].as_str().unwrap())).collect();
    assert_eq!(told, expected);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    expected.iter().for_each(|(_, code)| *counts.entry(code).or_default() += 1);
    assert_eq!(summary["errors"], serde_json::json!(counts));
    assert!(rows < 1000 || counts.len() == DAMAGES.len());
}

/// A small file system of its own; `None` where this process may not mount one.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, bytes: &str) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let size = format!("size={bytes}");
        let mut command = Command::new("mount");
        let done = command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        if done.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        println!("skipped: no file system can be mounted here");
        None
    }

    fn remount(&self, option: &str) {
        succeed(Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&self.0));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_or_read_only_disk_ends_the_job_and_it_goes_on_when_there_is_room() {
    let job = Job::new();
    let Some(disk) = Disk::mount(&job.at("disk"), "100k") else { return };
    let input = job.at("products.jsonl");
    fs::write(&input, (0..1000).map(|row| good(row) + "\n").collect::<String>()).unwrap();
    let (whole, out) = (job.at("whole"), job.at("disk/out"));
    succeed(&mut job.tag(&input, &whole));
    let (code, _, message) = run(&mut job.tag(&input, &out));
    assert!(code == 1 && message.contains("cannot write") && message.contains("No space left"), "{message}");
    let done = lines(&out, "ledger").len();
    assert!((1..20).contains(&done), "{done} shards fitted");
    assert_eq!(lines(&out, "part").len(), done * 50, "no part is there by half");

    disk.remount("ro");
    let (code, _, message) = run(&mut job.tag(&input, &out));
    assert!(code == 1 && message.contains("cannot write") && message.contains("Read-only"), "{message}");
    let (code, _, message) = run(&mut job.tag(&input, &job.at("disk/new")));
    assert!(code == 1 && message.contains("cannot write") && message.contains("Read-only"), "{message}");

    disk.remount("rw,size=10m");
    succeed(&mut job.tag(&input, &out));
    for kind in ["part", "ledger", "quarantine"] {
        assert_eq!(lines(&out, kind), lines(&whole, kind), "{kind}");
    }
}

#[test]
fn an_input_that_is_cut_or_gone_ends_the_job() {
    let job = Job::new();
    let rows: String = (0..500).map(|row| good(row) + "\n").collect();
    let mut zipped = Command::new("gzip");
    fs::write(
        job.at("whole.csv"),
        "id,title\n".to_owned()
            + &(0..20_000).map(|row| format!("{row},dress {}\n", row * 7919 % 9973)).collect::<String>(),
    )
    .unwrap();
    succeed(zipped.arg(job.at("whole.csv")));
    let zipped = fs::read(job.at("whole.csv.gz")).unwrap();
    fs::write(job.at("cut.csv.gz"), &zipped[..zipped.len() / 2]).unwrap();
    let out = job.at("out");
    let (code, _, message) = run(&mut job.tag(&job.at("cut.csv.gz"), &out));
    assert!(code == 1 && message.contains("on cannot be had") && message.contains("--resume"), "{message}");
    assert!(!lines(&out, "part").is_empty() && !out.join("summary.json").exists(), "what was read is kept");
    fs::write(job.at("cut.parquet"), b"PAR1 and no more").unwrap();
    let (code, _, message) = run(&mut job.tag(&job.at("cut.parquet"), &job.at("none")));
    assert!(code == 1 && message.contains("not a Parquet file, or cut short"), "{message}");
    let (code, _, message) = run(&mut job.tag(&job.at("gone.jsonl"), &job.at("none")));
    assert!(code == 1 && message.contains("cannot read") && message.contains("gone.jsonl"), "{message}");
    // A folder in which one of the files has become another: the digests differ, and the job does not go on.
    fs::create_dir(job.at("many")).unwrap();
    for part in ["a", "b"] {
        fs::write(job.at("many").join(format!("{part}.jsonl")), rows.replace("\"p", &format!("\"{part}"))).unwrap();
    }
    succeed(&mut job.tag(&job.at("many"), &job.at("all")));
    assert_eq!(lines(&job.at("all"), "part").len(), 1000);
    fs::write(job.at("many/b.jsonl"), &rows[..rows.len() / 2]).unwrap();
    let (code, _, message) = run(&mut job.tag(&job.at("many"), &job.at("all")));
    assert!(code == 1 && message.contains("the input has changed"), "{message}");
}
