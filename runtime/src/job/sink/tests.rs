//! Jobs in shards, ended at all kinds of moments.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use mbsd_spec::{Task, Variant};
use serde_json::json;

use super::super::testing::{Behaviour, Folder, ONE, mixed_products, model};
use super::super::{Catalogue, ClassifyOptions, Done, Workers, classify};
use super::*;

const ROWS: usize = 333;

fn sharded(folder: &Folder, name: &str, resume: bool) -> ShardedOutput {
    ShardedOutput {
        folder: folder.path(name),
        format: ShardFormat::Jsonl,
        rows: NonZeroU64::new(40).unwrap(),
        resume,
        identity: Identity {
            input: "i".to_owned(),
            bundle: "b".to_owned(),
            settings: [("top".to_owned(), json!(2))].into(),
        },
        stop: Arc::default(),
    }
}

/// One start of the job; it may be asked to end after so many rows.
fn start(
    folder: &Folder,
    output: &ShardedOutput,
    behaviour: Behaviour,
    workers: Workers,
    stop_after: usize,
) -> Result<Summary, JobError> {
    let (model, _) = model(Task::Classification, &Variant::ENCODERS, behaviour);
    let seen = AtomicUsize::new(0);
    let progress = |_: Done| {
        if seen.fetch_add(1, Ordering::Relaxed) + 1 == stop_after {
            output.stop.store(true, Ordering::Relaxed);
        }
    };
    folder.run_to("in.jsonl", Destination::Folder(output), workers, |job| {
        let Catalogue { products, input, output, max_errors, session, workers, .. } = job;
        let job = Catalogue { products, input, output, max_errors, session, workers, progress: &progress };
        classify(&model, ClassifyOptions { top: 2 }, job)
    })
}

/// Every file of an output folder but the summary, whose times differ.
fn contents(folder: &Folder, name: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder.path(name)).unwrap().map(|entry| entry.unwrap());
    let files =
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap()));
    files.filter(|(name, _)| name != "summary.json").collect()
}

fn many() -> Folder {
    let folder = Folder::new();
    folder.write("in.jsonl", &mixed_products(ROWS));
    folder
}

#[test]
fn shards_hold_every_row_once_and_bad_ones_apart() {
    let folder = many();
    let summary = start(&folder, &sharded(&folder, "out", false), Behaviour::default(), ONE, usize::MAX).unwrap();
    let files = contents(&folder, "out");
    let part = |shard: usize| String::from_utf8(files[&format!("part-{shard:05}.jsonl")].clone()).unwrap();
    let quarantine = |shard: usize| String::from_utf8(files[&format!("quarantine-{shard:05}.jsonl")].clone()).unwrap();
    assert_eq!(files.len(), 9 + 9 + 2, "{:?}", files.keys());
    let good: usize = (0..9).map(|shard| part(shard).lines().count()).sum();
    let bad: Vec<serde_json::Value> = (0..9)
        .flat_map(|shard| quarantine(shard).lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
        .collect();
    assert_eq!((good as u64, bad.len() as u64), (summary.scored, summary.error_count()));
    assert_eq!(good + bad.len(), ROWS);
    assert_eq!(
        (bad[0]["row"].as_u64(), bad[0]["id"].as_str(), bad[0]["code"].as_str()),
        (Some(10), Some("p9"), Some("image_missing"))
    );
    assert!(bad.iter().any(|row| row["code"] == "invalid_json" && row["id"].is_null()));
    // What a file would have, but for the bad rows.
    let (model, _) = model(Task::Classification, &Variant::ENCODERS, Behaviour::default());
    folder.run("in.jsonl", "one.jsonl", ONE, |job| classify(&model, ClassifyOptions { top: 2 }, job)).unwrap();
    let ids = |text: String| -> Vec<String> {
        let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        rows.filter(|row| row["error"].is_null()).map(|row| row["id"].to_string()).collect()
    };
    assert_eq!((0..9).flat_map(|shard| ids(part(shard))).collect::<Vec<_>>(), ids(folder.read("one.jsonl")));
}

#[test]
fn a_job_ended_anywhere_and_resumed_gives_the_same_files() {
    let folder = many();
    let whole = start(&folder, &sharded(&folder, "whole", false), Behaviour::default(), ONE, usize::MAX).unwrap();
    let expected = contents(&folder, "whole");
    for (number, workers) in [ONE, Workers { prepare: 3, sessions: 2, session_threads: 1 }].into_iter().enumerate() {
        for (kind, fail_at) in [("fail", Some(7)), ("fail", Some(1)), ("stop", None)] {
            let name = format!("{kind}{number}{fail_at:?}");
            let mut starts = 0;
            let summary = loop {
                let output = sharded(&folder, &name, starts > 0);
                let behaviour = Behaviour { fail_at: fail_at.map(|run| run + starts), ..Behaviour::default() };
                let stop_after = if kind == "stop" { 1 + 17 * starts } else { usize::MAX };
                starts += 1;
                match start(&folder, &output, behaviour, workers, stop_after) {
                    Ok(summary) => break summary,
                    Err(JobError::Interrupted { rows, .. }) => assert_eq!(rows % 40, 0, "whole shards"),
                    Err(JobError::Engine(_)) => assert_eq!(kind, "fail"),
                    Err(error) => panic!("{error}"),
                }
                assert!(starts < 200, "{name} does not come to an end");
            };
            assert!(starts > 1, "{name}");
            assert!(contents(&folder, &name) == expected, "{name}");
            assert_eq!((summary.rows, summary.scored), (whole.rows, whole.scored));
            assert_eq!((&summary.errors, &summary.variants), (&whole.errors, &whole.variants));
        }
    }
}

#[test]
fn a_row_with_a_result_does_not_stay_in_the_quarantine_of_an_earlier_start() {
    let folder = Folder::new();
    folder.write("in.jsonl", "{\"id\": 1, \"title\": \"red\"}\n");
    start(&folder, &sharded(&folder, "out", false), Behaviour::default(), ONE, usize::MAX).unwrap();
    let whole = contents(&folder, "out");
    // What a kill before the line of its shard leaves, of a start in which the row had no result.
    let path = |name: &str| folder.path("out").join(name);
    std::fs::remove_file(path("summary.json")).unwrap();
    std::fs::write(path("ledger.jsonl"), "").unwrap();
    std::fs::write(path("quarantine-00000.jsonl"), "{\"row\": 1}\n").unwrap();
    start(&folder, &sharded(&folder, "out", true), Behaviour::default(), ONE, usize::MAX).unwrap();
    assert!(contents(&folder, "out") == whole, "{:?}", folder.files());
}

#[test]
fn a_finished_job_is_told_again_and_not_done_again() {
    let folder = many();
    let first = start(&folder, &sharded(&folder, "out", false), Behaviour::default(), ONE, usize::MAX).unwrap();
    // Any run of a graph would fail.
    let again = Behaviour { fail_at: Some(0), ..Behaviour::default() };
    let second = start(&folder, &sharded(&folder, "out", true), again, ONE, usize::MAX).unwrap();
    assert_eq!((second.rows, second.scored, second.errors), (first.rows, first.scored, first.errors));
    let refused = start(&folder, &sharded(&folder, "out", false), Behaviour::default(), ONE, usize::MAX).unwrap_err();
    assert!(refused.to_string().contains("it holds one already; --resume goes on with it"), "{refused}");
}

#[test]
fn too_many_errors_end_a_job_that_can_be_gone_on_with() {
    let folder = many();
    let output = sharded(&folder, "out", false);
    let (model, _) = model(Task::Classification, &Variant::ENCODERS, Behaviour::default());
    let run = |output: &ShardedOutput, most| {
        folder.run_to("in.jsonl", Destination::Folder(output), ONE, |job| {
            classify(&model, ClassifyOptions { top: 2 }, Catalogue { max_errors: most, ..job })
        })
    };
    let error = run(&output, Some(10)).unwrap_err().to_string();
    assert!(error.starts_with("11 rows have no result, more than --max-errors 10 allows: "), "{error}");
    assert!(folder.path("out/part-00001.jsonl").exists(), "shards before it stay");
    let summary = run(&sharded(&folder, "out", true), Some(33)).unwrap();
    assert_eq!((summary.rows, summary.error_count()), (ROWS as u64, 33));
    assert!(summary.earlier_rows >= 80);
}
