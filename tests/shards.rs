//! Jobs in shards from the command line: killed, interrupted, out of space, resumed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mbsd_spec::Task;
use mbsd_tests::binaries::{program, run, succeed};
use mbsd_tests::bundles::SmallBundle;
use serde_json::Value;

/// How often the job is killed; `MBSD_KILLS` asks for more.
const KILLS: usize = 8;

/// Rows of a shard.
const ROWS: usize = 20;

struct Job {
    folder: tempfile::TempDir,
}

impl Job {
    /// A bundle, tags, and so many products: nine of ten with titles alone, one with an image that is not there.
    fn new(products: usize) -> Self {
        let job = Self { folder: tempfile::tempdir().unwrap() };
        SmallBundle::of(Task::Match).write(&job.at("bundle"));
        fs::write(job.at("tags.txt"), "colour:red\ncolour:blue\nsleeve:long\n").unwrap();
        let row = |row: usize| match row % 10 {
            9 => format!("{{\"id\": \"p{row}\", \"title\": \"dress {row}\", \"image\": \"none.jpg\"}}\n"),
            _ => format!("{{\"id\": \"p{row}\", \"title\": \"dress {row} {}\"}}\n", "x".repeat(row * 7 % 13)),
        };
        fs::write(job.at("products.jsonl"), (0..products).map(row).collect::<String>()).unwrap();
        job
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tag(&self, output: &Path) -> Command {
        let mut command = program("mbsd");
        command.arg("tag").arg("--bundle").arg(self.at("bundle")).arg("--input").arg(self.at("products.jsonl"));
        command.arg("--tags").arg(self.at("tags.txt")).args(["--threshold", "0", "--shard-rows"]);
        command.arg(ROWS.to_string()).args(["--shard-format", "jsonl", "--resume", "--output"]).arg(output);
        command
    }

    fn spawn(&self, output: &Path) -> Child {
        self.tag(output).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// The files of an output folder by name, but for the summary, whose times differ.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()));
    files.filter(|(name, _)| name != "summary.json" && !name.ends_with(".tmp")).collect()
}

fn shards_done(folder: &Path) -> usize {
    fs::read_to_string(folder.join("ledger.jsonl")).map_or(0, |text| text.lines().count())
}

/// Waits until a job has done so many shards, or has ended.
fn wait_for_shards(child: &mut Child, folder: &Path, shards: usize) {
    let start = Instant::now();
    while shards_done(folder) < shards && child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(120), "no shard comes");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_job_killed_again_and_again_loses_nothing_and_does_nothing_twice() {
    let kills = std::env::var("MBSD_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let job = Job::new(5000);
    let (whole, killed) = (job.at("whole"), job.at("killed"));
    succeed(&mut job.tag(&whole));
    let mut seed = 12_345_u64;
    for _ in 0..kills {
        let done = shards_done(&killed);
        let mut child = job.spawn(&killed);
        // So that the job gets on between kills, and is killed in the middle of whatever it then does.
        wait_for_shards(&mut child, &killed, done + 1);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        sleep(Duration::from_micros(seed >> 51));
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(shards_done(&killed) < 5000 / ROWS, "the last kill came after the end");
    let summary: Value = serde_json::from_str(&succeed(job.tag(&killed).arg("--json"))).unwrap();
    assert!(contents(&killed) == contents(&whole));
    assert_eq!((summary["rows"].as_u64(), summary["scored"].as_u64()), (Some(5000), Some(4500)));
    assert_eq!(summary["errors"], serde_json::json!({"image_missing": 500}));
    assert!(summary["earlier_rows"].as_u64() >= Some((ROWS * kills) as u64));
    let left: Vec<_> = fs::read_dir(&killed)
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "the last start cleans up after the others: {left:?}");
}

#[cfg(unix)]
#[test]
fn an_interruption_finishes_the_shard() {
    let job = Job::new(5000);
    let output = job.at("out");
    let mut child = job.spawn(&output);
    wait_for_shards(&mut child, &output, 1);
    succeed(Command::new("kill").args(["-INT", &child.id().to_string()]));
    let ended = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{message}");
    let rows = ROWS * shards_done(&output);
    assert!(message.contains(&format!("interrupted after {rows} rows")) && message.contains("--resume"), "{message}");
    assert!(rows < 5000 && contents(&output).keys().all(|name| name != "summary.json"));
}

#[test]
fn another_bundle_or_setting_refuses_to_go_on() {
    let job = Job::new(120);
    let output = job.at("out");
    succeed(&mut job.tag(&output));
    let (code, _, message) = run(job.tag(&output).args(["--top", "1"]));
    assert_eq!(code, 1);
    assert!(message.contains("`options` was ") && message.contains("take another folder"), "{message}");
    fs::write(job.at("products.jsonl"), "{\"id\": \"a\", \"title\": \"b\"}\n").unwrap();
    let (code, _, message) = run(&mut job.tag(&output));
    assert!(code == 1 && message.contains("the input has changed"), "{message}");
    let (code, _, message) = run(&mut job.tag(&job.at("one.jsonl")));
    assert!(code == 1 && message.contains("--resume goes on with a folder of shards"), "{message}");
}

#[test]
fn parts_that_cannot_be_written_end_the_job_and_leave_what_is_done() {
    let job = Job::new(400);
    let (whole, again) = (job.at("whole"), job.at("again"));
    succeed(&mut job.tag(&whole));
    let (code, _, message) = run(job.tag(&again).args(["--max-errors", "4"]));
    assert!(code == 1 && message.contains("more than --max-errors 4 allows"), "{message}");
    assert_eq!(shards_done(&again), 2);
    // A folder in the place of the third part stands for whatever keeps it from being written.
    fs::create_dir(again.join("part-00002.jsonl")).unwrap();
    let (code, _, message) = run(&mut job.tag(&again));
    assert!(code == 1 && message.contains("part-00002.jsonl"), "{message}");
    assert_eq!(shards_done(&again), 2);
    fs::remove_dir(again.join("part-00002.jsonl")).unwrap();
    succeed(&mut job.tag(&again));
    assert!(contents(&again) == contents(&whole));
}
