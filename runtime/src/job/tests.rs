use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use mbsd_data::{Candidates, DuplicateIds, ProductOptions, Products, attribute_of};
use mbsd_spec::{Task, Variant};
use serde_json::{Value, json};

use super::testing::{Behaviour, Folder, HIDDEN, ONE, mixed_products, model};
use super::*;
use crate::engine::{EngineKind, SessionOptions};

mod evaluation;
mod pairs;

const ALL: [Variant; 3] = Variant::ENCODERS;

fn tags(names: &[&str]) -> Candidates {
    Candidates { tags: names.iter().map(|name| (*name).to_owned()).collect(), by: None }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn products_go_by_what_they_have_and_results_stand_in_their_order() {
    let folder = Folder::new();
    folder.write(
        "in.jsonl",
        r#"{"id": "a", "title": "red shirt", "image": "128.bmp", "price": 3}
{"id": "b", "title": "red shirt"}
{"id": "c", "image": "255.bmp", "price": 1.5}
{"id": "d", "price": 9}
{"id": "e", "title": "shoe", "image": "bad.bmp"}
{"id": "f", "title": "shoe", "image": "none.bmp"}
{"id": "g", "title": "shoe", "image": "../none.bmp"}
{"id": "a", "title": "shoe"}
not json
{"id": "h", "title": "\u200b"}
{"id": "i", "title": "blue shoe"}
"#,
    );
    let (model, log) = model(Task::Match, &ALL, Behaviour::default());
    let options = TagOptions { threshold: Some(0.0), ..TagOptions::default() };
    let tags = tags(&["colour:red", "b"]);
    let summary = folder.run("in.jsonl", "out.jsonl", ONE, |job| tag(&model, &tags, &options, job)).unwrap();
    let rows = lines(&folder.read("out.jsonl"));
    let brief: Vec<String> = rows
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap_or("-").split(':').next().unwrap().to_owned();
            format!("{} {} {}", text("id"), text("variant"), text("error"))
        })
        .collect();
    assert_eq!(
        brief,
        [
            "a full -",
            "b text -",
            "c image -",
            "d - no_content",
            "e - image_not_an_image",
            "f - image_missing",
            "g - image_path_refused",
            "a - duplicate_id",
            "- - invalid_json",
            "h - no_content",
            "i text -"
        ]
    );
    // [CLS] colour : red [SEP] red shirt [SEP] = 2 + 9 + 10 + 5 + 3 + 5 + 7 + 3 = 44, segments 3, first pixel ~0, tokens 8.
    let logit = 0.1 * (44.0 + 3.0 + (128.0 / 127.5 - 1.0) + 8.0 - 4.0);
    let score = rows[0]["tags"][0]["score"].as_f64().unwrap();
    assert!((score - 1.0 / (1.0 + f64::exp(-logit))).abs() < 1e-5, "{score}");
    assert_eq!(rows[0]["tags"][0]["tag"], "colour:red");
    assert_eq!(rows[0]["price"], json!(3));
    assert_eq!((&rows[3]["tags"], &rows[3]["price"]), (&Value::Null, &json!(9)));
    assert_eq!((summary.rows, summary.scored), (11, 4));
    assert_eq!(
        summary.variants.into_iter().collect::<Vec<_>>(),
        [(Variant::Full, 1), (Variant::Text, 2), (Variant::Image, 1)]
    );
    assert_eq!(log.rows(Variant::Full), 2, "one row a tag");
    assert_eq!(folder.files(), ["in.jsonl", "out.jsonl"], "no temporary file is left");
}

#[test]
fn cores_are_shared_out_to_sessions() {
    for (threads, sessions, session_threads) in [(1, 1, 1), (2, 2, 1), (4, 4, 1), (6, 3, 2), (8, 4, 2), (16, 4, 4)] {
        let workers = Workers::new(EngineKind::OrtCpu, NonZeroUsize::new(threads));
        assert_eq!(workers, Workers { prepare: threads, sessions, session_threads });
        let workers = Workers::new(EngineKind::Tract, NonZeroUsize::new(threads));
        assert_eq!(workers, Workers { prepare: threads, sessions: threads, session_threads: 1 });
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    assert_eq!(Workers::new(EngineKind::Tract, NonZeroUsize::new(100_000)).sessions, cores.max(64));
}

#[test]
fn scores_and_batches_do_not_depend_on_threads() {
    let folder = Folder::new();
    folder.write("in.jsonl", &mixed_products(333));
    let tags = tags(&["red", "colour:blue", "b"]);
    let run = |output: &str, prepare: usize, sessions: usize| {
        let (model, log) = model(Task::Match, &ALL, Behaviour::default());
        let workers = Workers { prepare, sessions, session_threads: 1 };
        folder.run("in.jsonl", output, workers, |job| tag(&model, &tags, &TagOptions::default(), job)).unwrap();
        let most = log.sessions.lock().unwrap().values().copied().max();
        assert!(most <= Some(sessions), "{most:?} sessions for {sessions} workers");
        (std::fs::read(folder.path(output)).unwrap(), log.sorted_batches())
    };
    let jsonl = run("1.jsonl", 1, 1);
    let parquet = run("1.parquet", 1, 1);
    assert_eq!(lines(std::str::from_utf8(&jsonl.0).unwrap()).len(), 333);
    for (prepare, sessions) in [(4, 1), (1, 4), (8, 3)] {
        assert!(run("n.jsonl", prepare, sessions) == jsonl, "{prepare} {sessions}");
        assert!(run("n.parquet", prepare, sessions) == parquet, "{prepare} {sessions}");
    }
}

#[test]
fn batches_keep_within_their_limits_and_waste_little() {
    let folder = Folder::new();
    folder.write("in.jsonl", &mixed_products(500));
    let (model, log) = model(Task::Classification, &ALL, Behaviour::default());
    folder.run("in.jsonl", "out.jsonl", ONE, |job| classify(&model, ClassifyOptions { top: 1 }, job)).unwrap();
    let batches = log.sorted_batches();
    assert!(batches.iter().all(|&(_, rows, text)| rows <= 16 && (rows == 1 || rows * (text + 2) <= 1024)));
    assert!(batches.iter().all(|&(variant, _, text)| (text == 0) == (variant == Variant::Image)));
    assert!(batches.iter().map(|batch| batch.1).max() > Some(8), "rows are put together");
}

#[test]
fn a_graph_that_no_row_needs_is_not_loaded() {
    let folder = Folder::new();
    folder.write("in.csv", "id,title\n1,red\n2,blue\n");
    let (model, log) = model(Task::Classification, &ALL, Behaviour::default());
    let workers = Workers { prepare: 2, sessions: 2, session_threads: 1 };
    folder.run("in.csv", "out.jsonl", workers, |job| classify(&model, ClassifyOptions { top: 1 }, job)).unwrap();
    assert_eq!(log.sessions.lock().unwrap().keys().collect::<Vec<_>>(), [&Variant::Text]);
}

#[test]
fn an_engine_that_fails_ends_the_job_and_leaves_nothing() {
    let folder = Folder::new();
    folder.write("in.jsonl", &mixed_products(400));
    for fail_at in [0, 7, 20] {
        for sessions in [1, 3] {
            let behaviour = Behaviour { fail_at: Some(fail_at), ..Behaviour::default() };
            let (model, _) = model(Task::Classification, &ALL, behaviour);
            let workers = Workers { prepare: 2, sessions, session_threads: 1 };
            let outcome =
                folder.run("in.jsonl", "out.jsonl", workers, |job| classify(&model, ClassifyOptions { top: 1 }, job));
            assert!(matches!(outcome, Err(JobError::Engine(_))), "{outcome:?}");
            assert_eq!(folder.files(), ["in.jsonl"]);
        }
    }
}

#[test]
fn a_value_that_is_no_number_is_an_error_of_its_row() {
    let folder = Folder::new();
    folder.write("in.csv", "id,title\n1,red\n2,blue\n3,shirt\n");
    let (model, _) = model(Task::Classification, &ALL, Behaviour { nan_for: Some(6), ..Behaviour::default() });
    let summary =
        folder.run("in.csv", "out.jsonl", ONE, |job| classify(&model, ClassifyOptions { top: 1 }, job)).unwrap();
    assert_eq!(
        (summary.scored, summary.errors.into_iter().collect::<Vec<_>>()),
        (2, vec![("not_finite".to_owned(), 1)])
    );
}

#[test]
fn tags_are_cut_by_rank_and_by_probability() {
    let folder = Folder::new();
    folder.write("in.csv", "id,title\n1,a\n");
    let (mut model, _) = model(Task::Match, &ALL, Behaviour::default());
    let given = tags(&["red", "blue", "a", "shoe", "red"]);
    let mut kept = |options: TagOptions, bundle: f32| -> Vec<String> {
        model.threshold = bundle;
        folder.run("in.csv", "out.jsonl", ONE, |job| tag(&model, &given, &options, job)).unwrap();
        let rows = lines(&folder.read("out.jsonl"));
        rows[0]["tags"].as_array().unwrap().iter().map(|tag| tag["tag"].as_str().unwrap().to_owned()).collect()
    };
    // Logits 2.7 (red), 2.8 (blue), 3.3 (a), 3.0 (shoe): scores 0.937, 0.943, 0.964, 0.953.
    let all = TagOptions { threshold: Some(0.0), ..TagOptions::default() };
    assert_eq!(kept(all, 0.99), ["a", "shoe", "blue", "red", "red"], "best first, ties in the order given");
    assert_eq!(kept(TagOptions { top: Some(2), ..TagOptions::default() }, 0.99), ["a", "shoe"]);
    assert_eq!(kept(TagOptions { top: Some(3), threshold: Some(0.95), ..TagOptions::default() }, 0.0), ["a", "shoe"]);
    assert_eq!(kept(TagOptions::default(), 0.96), ["a"]);
    assert_eq!(kept(TagOptions::default(), 0.99), Vec::<String>::new());
}

#[test]
fn a_tag_that_does_not_fit_is_an_error_of_the_command() {
    let folder = Folder::new();
    folder.write("in.csv", "id,title\n1,a\n");
    let (model, _) = model(Task::Match, &ALL, Behaviour::default());
    let long = tags(&["red", &"a ".repeat(30)]);
    let error =
        folder.run("in.csv", "out.jsonl", ONE, |job| tag(&model, &long, &TagOptions::default(), job)).unwrap_err();
    assert!(error.to_string().contains("takes 33 tokens"), "{error}");
    assert_eq!(folder.files(), ["in.csv"]);
}

#[test]
fn a_command_names_the_task_it_needs() {
    let folder = Folder::new();
    folder.write("in.csv", "id,title\n1,a\n");
    let (matching, _) = model(Task::Match, &ALL, Behaviour::default());
    let error =
        folder.run("in.csv", "out.jsonl", ONE, |job| classify(&matching, ClassifyOptions { top: 1 }, job)).unwrap_err();
    assert_eq!(error.to_string(), "the bundle is for the task `match`; this needs one for `classification`");
    let error = folder.run("in.csv", "out.jsonl", ONE, |job| embed(&matching, job)).unwrap_err();
    assert!(error.to_string().starts_with("a match bundle has no vector of a product alone"), "{error}");
}

#[test]
fn classes_come_with_probabilities() {
    let folder = Folder::new();
    folder.write("in.csv", "id,title\n1,red\n");
    let (model, _) = model(Task::Classification, &ALL, Behaviour::default());
    folder.run("in.csv", "out.jsonl", ONE, |job| classify(&model, ClassifyOptions { top: 2 }, job)).unwrap();
    let row = &lines(&folder.read("out.jsonl"))[0];
    // Logits: 2 + 5 + 3 = 10, 0, 0, 3.
    let sum = 10f64.exp() + 2.0 + 3f64.exp();
    assert_eq!(row["label"], "w");
    assert!((row["score"].as_f64().unwrap() - 10f64.exp() / sum).abs() < 1e-6);
    assert_eq!(row["classes"].as_array().unwrap().len(), 2);
    assert_eq!(row["classes"][1]["label"], "z");
    assert!((row["classes"][1]["score"].as_f64().unwrap() - 3f64.exp() / sum).abs() < 1e-6);
}

#[test]
fn vectors_are_written_whole() {
    let folder = Folder::new();
    folder.write("in.tsv", "id\ttitle\timage\n1\tred\t255.bmp\n2\t\t0.bmp\n");
    let (model, _) = model(Task::Alignment, &ALL, Behaviour::default());
    folder.run("in.tsv", "out.jsonl", ONE, |job| embed(&model, job)).unwrap();
    let rows = lines(&folder.read("out.jsonl"));
    assert_eq!(rows[0]["vector"], json!([10.0, 0.0, 1.0, 3.0]));
    assert_eq!(rows[1]["vector"], json!([0.0, 0.0, -1.0, 0.0]));
    assert_eq!(rows[0]["vector"].as_array().unwrap().len(), HIDDEN);
}

#[test]
fn an_output_that_cannot_be_written_is_told_before_work_begins() {
    let folder = Folder::new();
    let input = folder.write("in.jsonl", &mixed_products(3));
    std::fs::create_dir(input.with_file_name("folder.jsonl")).unwrap();
    let (model, log) = model(Task::Classification, &ALL, Behaviour::default());
    for (output, message) in [
        ("out.csv", "use .parquet or .jsonl"),
        ("in.jsonl", "is an input file as well"),
        ("no/such/folder/out.jsonl", "cannot write"),
        ("folder.jsonl", "is a folder"),
    ] {
        let outcome = folder.run("in.jsonl", output, ONE, |job| classify(&model, ClassifyOptions { top: 1 }, job));
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    assert!(log.sorted_batches().is_empty());
    assert_eq!(std::fs::read_to_string(input).unwrap(), mixed_products(3));
}

/// Rows of `out.jsonl` as `id: tag tag`.
fn kept(folder: &Folder) -> Vec<String> {
    let brief = |row: &Value| {
        let names: Vec<&str> =
            row["tags"].as_array().into_iter().flatten().map(|tag| tag["tag"].as_str().unwrap()).collect();
        let what = row["error"].as_str().map_or(names.join(" "), str::to_owned);
        format!("{}: {what}", row["id"].as_str().unwrap())
    };
    lines(&folder.read("out.jsonl")).iter().map(brief).collect()
}

#[test]
fn a_product_is_asked_the_tags_of_its_category() {
    let folder = Folder::new();
    folder.write(
        "in.jsonl",
        r#"{"id": "1", "title": "a", "kind": "shirt"}
{"id": "2", "title": "a", "kind": "shoe"}
{"id": "3", "title": "a", "image": "0.bmp", "kind": "hat"}
{"id": "4", "title": "a", "kind": null}
{"id": "5", "title": "a", "kind": "shirt", "image": "bad.bmp"}
"#,
    );
    let lists = r#"{"by": "kind", "tags": {"shirt": ["colour:red", "colour:blue"], "shoe": ["b"]}, "default": ["a", "colour:red", "b"]}"#;
    let read = |lists: &str| mbsd_data::read_candidates(folder.write("tags.json", lists)).unwrap();
    let (model, log) = model(Task::Match, &ALL, Behaviour::default());
    let options = TagOptions { threshold: Some(0.0), ..TagOptions::default() };
    let job = |lists: &str| {
        let candidates = read(lists);
        folder.run("in.jsonl", "out.jsonl", ONE, |job| tag(&model, &candidates, &options, job))
    };
    let summary = job(lists).unwrap();
    let rows = kept(&folder);
    assert_eq!(rows[..4], ["1: colour:blue colour:red", "2: b", "3: colour:red b a", "4: colour:red b a"]);
    assert!(rows[4].starts_with("5: image_not_an_image"), "{rows:?}");
    assert_eq!((summary.questions, log.rows(Variant::Text), log.rows(Variant::Full)), (9, 6, 3));

    let summary = job(&lists.replace(r#", "default": ["a", "colour:red", "b"]"#, "")).unwrap();
    assert_eq!(summary.errors["no_tags"], 2);
    assert_eq!(kept(&folder)[2], "3: no_tags: no tags are listed for `kind` \"hat\", and there is no default list");
    let error = job(&lists.replace("kind", "category")).unwrap_err().to_string();
    assert_eq!(error, "the input has no column `category` beside the products; it has: `kind`");
}

#[test]
fn each_attribute_has_its_own_threshold_and_number() {
    let folder = Folder::new();
    folder.write("in.csv", "id,title\n1,a\n");
    let (mut model, _) = model(Task::Match, &ALL, Behaviour::default());
    // The score grows with the tokens of a tag: red 5, blue 6, shirt 7, shoe 8; `colour` and `a` are tokens too.
    let given = tags(&["colour:red", "colour:blue", "a:shirt", "a:shoe", "b"]);
    let run = |model: &mut Model, options: TagOptions| {
        folder.run("in.csv", "out.jsonl", ONE, |job| tag(model, &given, &options, job)).map(|_| kept(&folder).remove(0))
    };
    let any = TagOptions { threshold: Some(0.0), ..TagOptions::default() };
    let all = run(&mut model, any.clone()).unwrap();
    let order: Vec<&str> = all[3..].split(' ').collect();
    assert_eq!(order.len(), 5);
    let of = |name: &str| order.iter().copied().filter(|tag| attribute_of(tag) == name).collect::<Vec<_>>();
    let line = |tags: &[&str]| format!("1: {}", tags.join(" "));
    let one_each: Vec<&str> =
        order.iter().copied().filter(|tag| *tag == "b" || [of("colour")[0], of("a")[0]].contains(tag)).collect();
    assert_eq!(run(&mut model, TagOptions { top_each: Some(1), ..any.clone() }).unwrap(), line(&one_each));
    let top_of = [("a".to_owned(), 2)].into();
    let two: Vec<&str> = order.iter().copied().filter(|tag| *tag != of("colour")[1]).collect();
    assert_eq!(run(&mut model, TagOptions { top_each: Some(1), top_of, ..any.clone() }).unwrap(), line(&two));
    let threshold_of = [("colour".to_owned(), 1.0)].into();
    let without: Vec<&str> = order.iter().copied().filter(|tag| attribute_of(tag) != "colour").collect();
    assert_eq!(run(&mut model, TagOptions { threshold_of, ..any.clone() }).unwrap(), line(&without));
    // The bundle's own count where nothing else is said.
    model.threshold = 0.0;
    model.thresholds = [("a".to_owned(), 1.0)].into();
    let without: Vec<&str> = order.iter().copied().filter(|tag| attribute_of(tag) != "a").collect();
    assert_eq!(run(&mut model, TagOptions::default()).unwrap(), line(&without));
    assert_eq!(run(&mut model, TagOptions { top: Some(5), ..TagOptions::default() }).unwrap(), all);
    let top_of = [("colour".to_owned(), 1)].into();
    let few: Vec<&str> = without.iter().copied().filter(|tag| *tag != of("colour")[1]).collect();
    let own = run(&mut model, TagOptions { top_of, ..TagOptions::default() }).unwrap();
    assert_eq!(own, line(&few), "other attributes keep the bundle's thresholds");
    let error = run(&mut model, TagOptions { top_of: [("size".to_owned(), 1)].into(), ..any }).unwrap_err().to_string();
    assert_eq!(error, "--top size=..: no tag has this attribute; there are: a, colour");
}

#[test]
fn products_apart_from_their_tags_are_rows_with_tags_beside_them() {
    let folder = Folder::new();
    let row = |row: usize| match row % 3 {
        0 => format!("{{\"id\": {row}, \"title\": \"red\", \"image\": \"0.bmp\"}}\n"),
        1 => format!("{{\"id\": {row}, \"title\": \"blue shoe a b\"}}\n"),
        _ => format!("{{\"id\": {row}, \"image\": \"128.bmp\"}}\n"),
    };
    folder.write("in.jsonl", &(0..30).map(row).collect::<String>());
    let (model, log) = model(Task::Match, &ALL, Behaviour { apart: true, ..Behaviour::default() });
    let tags = tags(&["shoe colour:red", "b", "colour:blue"]);
    let all = TagOptions { threshold: Some(0.0), ..TagOptions::default() };
    let summary = folder.run("in.jsonl", "out.jsonl", ONE, |job| tag(&model, &tags, &all, job)).unwrap();
    assert_eq!((summary.questions, summary.texts_tokenized), (90, 2));
    for variant in ALL {
        assert_eq!(log.rows(variant), 10, "{variant}: each product is read once");
    }
    assert!(log.sorted_batches().iter().all(|&(.., asked)| asked == 3), "{:?}", log.sorted_batches());
    // The longest tag is padded least, the score grows with its tokens, and each goes back to its own tag.
    let lines = kept(&folder);
    assert!(lines.iter().all(|line| line.ends_with(": shoe colour:red colour:blue b")), "{lines:?}");

    // What a batch has no room for goes into another.
    let many: Vec<String> = (0..400).map(|tag| format!("{tag}")).collect();
    let many = crate::job::tests::tags(&many.iter().map(String::as_str).collect::<Vec<_>>());
    log.batches.lock().unwrap().clear();
    let top = TagOptions { top: Some(1), ..TagOptions::default() };
    folder.write("in.jsonl", "{\"id\": 1, \"title\": \"red\"}\n");
    let summary = folder.run("in.jsonl", "out.jsonl", ONE, |job| tag(&model, &many, &top, job)).unwrap();
    let asked: Vec<usize> = log.sorted_batches().iter().map(|batch| batch.2).collect();
    assert_eq!((summary.questions, asked.iter().sum::<usize>()), (400, 400));
    assert!(asked.len() == 2 && asked.iter().all(|&tags| tags * 3 <= 1024), "{asked:?}");
}

#[test]
fn texts_are_tokenized_once_and_pictures_decoded_once() {
    let folder = Folder::new();
    let row = |row: usize| {
        format!("{{\"id\": {row}, \"title\": \"{}\", \"image\": \"0.bmp\"}}\n", ["red", "blue shoe"][row % 2])
    };
    folder.write("in.jsonl", &(0..50).map(row).collect::<String>());
    let (model, _) = model(Task::Match, &ALL, Behaviour::default());
    let tags = tags(&["colour:red", "b", "a"]);
    let workers = Workers { prepare: 4, sessions: 2, session_threads: 1 };
    let summary =
        folder.run("in.jsonl", "out.jsonl", workers, |job| tag(&model, &tags, &TagOptions::default(), job)).unwrap();
    assert_eq!((summary.texts_tokenized, summary.questions), (2, 150));
    let stages = summary.stages;
    let outside = stages.read + stages.decode + stages.tokenize + stages.write;
    assert!(stages.decode > 0.0 && stages.read > 0.0 && stages.write > 0.0 && stages.infer > 0.0, "{stages:?}");
    assert!((stages.outside_inference - outside / (outside + stages.infer)).abs() < 1e-6, "{stages:?}");
}

fn sharded(folder: &Folder, resume: bool) -> ShardedOutput {
    ShardedOutput {
        folder: folder.path("out"),
        format: ShardFormat::Jsonl,
        rows: 100.try_into().unwrap(),
        resume,
        identity: Identity { input: "i".to_owned(), bundle: "b".to_owned(), settings: Default::default() },
        stop: Arc::new(AtomicBool::new(false)),
    }
}

#[test]
fn an_input_that_is_cut_while_it_is_read_ends_the_job_and_is_gone_on_with() {
    let folder = Folder::new();
    let row = |row: usize| format!("{{\"id\": {row}, \"title\": \"red {}\"}}\n", "b ".repeat(200));
    let content: String = (0..1000).map(row).collect();
    let input = folder.write("in.jsonl", &content);
    let (model, _) = model(Task::Classification, &ALL, Behaviour::default());
    let job = |destination: &ShardedOutput, cut: Option<u64>| {
        folder.run_to("in.jsonl", Destination::Folder(destination), ONE, |job| {
            // The columns are known and the file is open: it is lost under the reader's eyes.
            if let Some(bytes) = cut {
                std::fs::OpenOptions::new().write(true).open(&input).unwrap().set_len(bytes).unwrap();
            }
            classify(&model, ClassifyOptions { top: 1 }, job)
        })
    };
    let error = job(&sharded(&folder, false), Some(content.len() as u64 / 2)).unwrap_err();
    assert!(matches!(error, JobError::InputLost { row: 500..502, .. }), "{error:?}");
    assert!(error.to_string().contains("on cannot be had") && error.to_string().contains("--resume"), "{error}");
    let parts = || (0..10).filter(|part| folder.path(&format!("out/part-{part:05}.jsonl")).exists()).count();
    assert_eq!(parts(), 5, "what was done is kept");
    folder.write("in.jsonl", &content);
    let summary = job(&sharded(&folder, true), None).unwrap();
    assert_eq!((summary.rows, summary.earlier_rows, parts()), (1000, 500, 10));
    // One file is there whole or not at all.
    let outcome = folder.run("in.jsonl", "one.jsonl", ONE, |job| {
        std::fs::OpenOptions::new().write(true).open(&input).unwrap().set_len(1000).unwrap();
        classify(&model, ClassifyOptions { top: 1 }, job)
    });
    assert!(matches!(outcome, Err(JobError::InputLost { .. })) && !folder.path("one.jsonl").exists());
}

#[test]
fn an_output_within_the_input_folder_is_refused() {
    let folder = Folder::new();
    folder.write("in.jsonl", &mixed_products(3));
    let (model, _) = model(Task::Classification, &ALL, Behaviour::default());
    for (input, output) in [("", "out.jsonl"), ("", "new/out.jsonl"), ("*.jsonl", "out.jsonl")] {
        let path = folder.path(output);
        let outcome = folder
            .run_to(input, Destination::File(&path), ONE, |job| classify(&model, ClassifyOptions { top: 1 }, job));
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("would be read as one"), "{error}");
    }
}

#[test]
fn streams_are_answered_one_after_the_other_by_sessions_that_stay() {
    let folder = Folder::new();
    let (model, log) = model(Task::Match, &ALL, Behaviour::default());
    let tags = tags(&["colour:red", "b"]);
    let output: Mutex<Box<dyn std::io::Write + Send>> = Mutex::new(Box::new(Vec::new()));
    let written: Arc<Mutex<Vec<u8>>> = Arc::default();
    struct Tee(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Tee {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    *output.lock().unwrap() = Box::new(Tee(written.clone()));
    let workers = Workers { prepare: 1, sessions: 2, session_threads: 1 };
    for start in [0, 300] {
        let ids = arrow::array::StringArray::from_iter_values((start..start + 300).map(|row| row.to_string()));
        let titles = arrow::array::StringArray::from_iter((0..300).map(|row| (row != 7).then_some("red shirt")));
        let batch = arrow::array::RecordBatch::try_from_iter_with_nullable([
            ("id", Arc::new(ids) as arrow::array::ArrayRef, true),
            ("title", Arc::new(titles) as arrow::array::ArrayRef, true),
        ])
        .unwrap();
        let mut stream = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        stream.write(&batch).unwrap();
        stream.finish().unwrap();
        let bytes = std::io::Cursor::new(stream.into_inner().unwrap());
        let summary = tag(
            &model,
            &tags,
            &TagOptions { threshold: Some(0.0), ..TagOptions::default() },
            Catalogue {
                products: Products::read_arrow("test", Box::new(bytes), &ProductOptions::default()).unwrap(),
                input: Path::new("-"),
                output: Destination::Stream(&output),
                max_errors: None,
                session: &SessionOptions::default(),
                workers,
                progress: &|_| (),
            },
        )
        .unwrap();
        assert_eq!((summary.rows, summary.scored), (300, 299));
    }
    assert!(log.sessions.lock().unwrap()[&Variant::Text] <= 2, "sessions of the first stream serve the second");
    // The streams lie one behind the other, and each is one that others read.
    let bytes = written.lock().unwrap().clone();
    let mut rest = std::io::Cursor::new(bytes);
    let mut rows = Vec::new();
    for _ in 0..2 {
        let mut reader = arrow_ipc::reader::StreamReader::try_new(&mut rest, None).unwrap();
        let names: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["id", "title", "image", "tags", "variant", "error"]);
        for batch in reader.by_ref() {
            let batch = batch.unwrap();
            let ids = arrow::array::AsArray::as_string::<i32>(batch.column(0)).clone();
            let errors = arrow::array::AsArray::as_string::<i32>(batch.column(5)).clone();
            rows.extend(ids.iter().zip(errors.iter()).map(|(id, error)| (id.unwrap().to_owned(), error.is_some())));
        }
    }
    let expected: Vec<(String, bool)> = (0..600).map(|row| (row.to_string(), row % 300 == 7)).collect();
    assert_eq!(rows, expected);
    drop(folder);
}

#[test]
fn the_fashion_products_go_through_whole() {
    let Some(data) = std::env::var_os("MBSD_DATA") else {
        println!("skipped: MBSD_DATA is not set");
        return;
    };
    let fashion = std::path::Path::new(&data).join("fashion");
    let folder = Folder::new();
    let tags = mbsd_data::read_candidates(fashion.join("tags.txt")).unwrap();
    assert_eq!(tags.tags.len(), 35);
    for (file, count) in [("folder-sample/products.jsonl", 300), ("large-224/validation.parquet", 1153)] {
        let (model, log) = model(Task::Match, &ALL, Behaviour::default());
        let input = fashion.join(file);
        let summary = tag(
            &model,
            &tags,
            &TagOptions { top: Some(1), ..TagOptions::default() },
            Catalogue {
                products: mbsd_data::Products::open(&input, &Default::default()).unwrap(),
                input: &input,
                output: Destination::File(&folder.path("out.parquet")),
                max_errors: None,
                session: &SessionOptions::default(),
                workers: Workers { prepare: 2, sessions: 2, session_threads: 1 },
                progress: &|_| (),
            },
        )
        .unwrap();
        assert_eq!((summary.rows, summary.scored), (count, count), "{file}: {summary}");
        assert_eq!(log.rows(Variant::Full) as u64, count * 35);
    }
}
