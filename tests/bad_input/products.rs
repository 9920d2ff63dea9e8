//! Bad rows among good ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mbsd_spec::Variant;
use mbsd_tests::binaries::{run, succeed};
use mbsd_tests::{engines, tolerance};
use serde_json::Value;

use crate::formats::{Format, Image, ResultRow, Row, results};
use crate::job::{Job, TAGS};

/// A row, and what must become of it.
struct Case {
    row: Row,
    /// The id that the result shows; null where the row has none or cannot be taken apart.
    id: Option<&'static str>,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    /// Scored by this graph.
    Scored(Variant),
    /// An error under this code.
    Error(&'static str),
}

fn case(id: &'static str, title: impl Into<Option<Vec<u8>>>, image: Image, outcome: Outcome) -> Case {
    Case { row: Row { id: Some(id.into()), title: title.into(), image }, id: Some(id), outcome }
}

fn title(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

/// Fewer rows than a window holds, so that good rows are batched the same with and without the bad ones.
fn cases(format: Format) -> Vec<Case> {
    use Image::{Fixture, Path};
    use Outcome::{Error, Scored};
    use Variant::{Full, Image as Picture, Text};
    let mut cases = Vec::new();
    let bad_images = [
        ("truncated.jpg", "image_truncated"),
        ("truncated.png", "image_truncated"),
        ("truncated_lossy.webp", "image_truncated"),
        ("zero_byte.jpg", "image_empty"),
        ("html.jpg", "image_not_an_image"),
        ("huge.png", "image_too_large"),
        ("huge.jpg", "image_too_large"),
        ("damaged.png", "image_damaged"),
        ("picture.tiff", "image_unsupported"),
    ];
    cases.extend(bad_images.map(|(name, code)| case(name, title("blue dress"), Fixture(name), Error(code))));
    let good_images =
        ["rgb.jpg", "animated.gif", "animated.png", "animated.webp", "cmyk.jpg", "rgb16.png", "grey16.png"];
    cases.extend(good_images.map(|name| case(name, title("red dress"), Fixture(name), Scored(Full))));
    let megabyte = |text: &str| Some(text.repeat((1 << 20) / text.len()).into_bytes());
    cases.extend([
        case("text only", title("红色连衣裙 半高领"), Image::None, Scored(Text)),
        case("missing image file", title("red dress"), Path("gone.jpg"), Error("image_missing")),
        case("image path that climbs", title("red dress"), Path("../tags.txt"), Error("image_path_refused")),
        case("image path elsewhere", title("red dress"), Path("/etc/hostname"), Error("image_path_refused")),
        case("empty title", title(""), Fixture("palette.png"), Scored(Picture)),
        case("blank title", title(" \u{3000} "), Fixture("bilevel.png"), Scored(Picture)),
        case("null title", None, Fixture("rgba.png"), Scored(Picture)),
        case("empty title alone", title(""), Image::None, Error("no_content")),
        case("all null", None, Image::None, Error("no_content")),
        case("title of invisible characters", title("\u{200b}\u{feff}"), Image::None, Error("no_content")),
        case("1 MB title", megabyte("long blue dress, "), Fixture("rgb.png"), Scored(Full)),
        case("1 MB title without a space", megabyte("红"), Image::None, Scored(Text)),
        case("1 MB title of one word", megabyte("x"), Fixture("grey.png"), Scored(Full)),
        case("text only", title("blue dress"), Image::None, Error("duplicate_id")),
        Case {
            row: Row { id: None, title: title("red dress"), image: Fixture("rgb.jpg") },
            id: None,
            outcome: Error("missing_id"),
        },
        Case {
            row: Row { id: title(""), title: title("red dress"), image: Fixture("rgb.jpg") },
            id: None,
            outcome: Error("missing_id"),
        },
    ]);
    let latin1 = Some(b"robe d\xe9collet\xe9e".to_vec());
    let mut misencoded = case("invalid UTF-8", latin1.clone(), Fixture("rgb.jpg"), Error("invalid_utf8"));
    if format == Format::Jsonl {
        // A line of JSON that is not UTF-8 cannot be taken apart.
        misencoded.id = None;
    }
    cases.push(misencoded);
    let id = Row { id: latin1, title: title("red dress"), image: Image::None };
    cases.push(Case { row: id, id: None, outcome: Error("invalid_utf8") });
    // Good and bad rows take turns, and both ends are bad.
    let (bad, good): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| matches!(case.outcome, Error(_)));
    let mut good = good.into_iter();
    let mut mixed: Vec<Case> = Vec::new();
    for case in bad {
        mixed.push(case);
        mixed.extend(good.next());
    }
    assert!(good.next().is_none(), "more good rows than bad ones: the last row would be good");
    // Of two rows of one id the first counts.
    let first = |id| mixed.iter().find(|case| case.id == Some(id)).unwrap();
    assert_eq!(first("text only").outcome, Scored(Text));
    mixed
}

fn rows(cases: &[Case]) -> Vec<Row> {
    cases.iter().map(|case| case.row.clone()).collect()
}

/// Tags a file with an engine, and returns the rows of the result and the summary.
fn tag(job: &Job, input: &Path, output: &str, engine: &str) -> (Vec<ResultRow>, Value) {
    let output = job.at(output);
    let text = succeed(job.tag_file(input, &output).args(["--json", "--engine", engine]));
    (results(&output), serde_json::from_str(&text).unwrap())
}

/// Checks results against what must become of each row.
fn check(format: Format, cases: &[Case], results: &[ResultRow]) {
    assert_eq!(results.len(), cases.len(), "{format:?}: a row of the input has no row in the output");
    for (case, result) in cases.iter().zip(results) {
        let name = format!(
            "{format:?}, row `{}`: {result:?}",
            String::from_utf8_lossy(case.row.id.as_deref().unwrap_or(b"null"))
        );
        assert_eq!(result.id.as_deref(), case.id, "{name}");
        match case.outcome {
            Outcome::Scored(variant) => {
                assert_eq!(result.error, None, "{name}");
                assert_eq!(result.variant.as_deref(), Some(variant.name()), "{name}");
                assert_eq!(result.tags.as_ref().map(Vec::len), Some(TAGS.len()), "{name}");
            }
            Outcome::Error(code) => {
                let error = result.error.as_deref().unwrap_or_else(|| panic!("no error in {name}"));
                let message = error.strip_prefix(code).and_then(|rest| rest.strip_prefix(": "));
                assert!(message.is_some_and(|message| !message.is_empty()), "not `{code}: ...` in {name}");
                assert_eq!((&result.tags, &result.variant), (&None, &None), "{name}");
            }
        }
    }
}

fn scored(results: Vec<ResultRow>) -> Vec<ResultRow> {
    results.into_iter().filter(|result| result.error.is_none()).collect()
}

#[test]
fn every_bad_row_has_its_error_and_every_other_row_its_exact_scores() {
    for engine in engines::available() {
        let engine = engine.kind().name();
        for format in Format::ALL {
            let job = Job::new();
            let mixed = cases(format);
            let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
            for case in &mixed {
                if let Outcome::Error(code) = case.outcome {
                    *codes.entry(code).or_default() += 1;
                }
            }
            let input = format.write(&job, "mixed", &rows(&mixed));
            let (found, summary) = tag(&job, &input, "mixed-result.jsonl", engine);
            check(format, &mixed, &found);
            assert_eq!(summary["errors"], serde_json::to_value(&codes).unwrap(), "{format:?}");
            assert_eq!(summary["rows"], mixed.len() as u64, "{format:?}");
            let (in_parquet, _) = tag(&job, &input, "mixed-result.parquet", engine);
            assert_eq!(in_parquet, found, "{format:?}: Parquet says something else than JSON Lines");

            let good: Vec<Case> = mixed.into_iter().filter(|case| matches!(case.outcome, Outcome::Scored(_))).collect();
            let input = format.write(&job, "good", &rows(&good));
            let (alone, _) = tag(&job, &input, "good-result.jsonl", engine);
            check(format, &good, &alone);
            assert_eq!(scored(found), alone, "{format:?}: a bad row changes what good rows get");
            let mut firsts: Vec<u32> = alone.iter().map(|row| row.tags.as_ref().unwrap()[0].1.to_bits()).collect();
            firsts.sort_unstable();
            firsts.dedup();
            assert!(firsts.len() * 2 > alone.len(), "most rows have a score of their own, so a mix-up would show");
        }
    }
}

#[test]
fn bad_rows_in_many_windows_disturb_neither_order_nor_scores() {
    let job = Job::new();
    let images = ["rgb.jpg", "truncated.jpg", "grey.png", "html.jpg"].map(Image::Fixture);
    let all: Vec<Row> = (0..300)
        .map(|n| Row {
            id: title(&format!("product {n}")),
            title: title(&format!("dress {}", "red ".repeat(n % 5))),
            image: images[n % images.len()],
        })
        .collect();
    let input = Format::Jsonl.write(&job, "mixed", &all);
    let (found, _) = tag(&job, &input, "mixed-result.jsonl", "tract");
    let ids: Vec<_> = found.iter().map(|row| row.id.clone().unwrap()).collect();
    assert_eq!(ids, (0..300).map(|n| format!("product {n}")).collect::<Vec<_>>());
    for (n, row) in found.iter().enumerate() {
        assert_eq!(row.error.is_some(), n % 2 == 1, "{row:?}");
    }

    // The same bytes, however the work is spread.
    for threads in ["1", "3"] {
        let output = job.at("spread.jsonl");
        succeed(job.tag_file(&input, &output).args(["--threads", threads]));
        assert_eq!(fs::read(output).unwrap(), fs::read(job.at("mixed-result.jsonl")).unwrap(), "{threads} threads");
    }

    // Without the bad rows, windows and batches are others.
    let good: Vec<Row> = all.into_iter().step_by(2).collect();
    let (alone, _) = tag(&job, &Format::Jsonl.write(&job, "good", &good), "good-result.jsonl", "tract");
    let mixed = scored(found);
    assert_eq!(mixed.len(), alone.len());
    let by_tag = |row: &ResultRow| row.tags.clone().unwrap().into_iter().collect::<BTreeMap<_, _>>();
    let difference = |a: &ResultRow, b: &ResultRow| {
        let (a, b) = (by_tag(a), by_tag(b));
        TAGS.iter().map(|&tag| (a[tag] - b[tag]).abs()).fold(0.0, f32::max)
    };
    for (mixed, alone) in mixed.iter().zip(&alone) {
        assert_eq!(mixed.id, alone.id);
        assert!(difference(mixed, alone) <= tolerance::BATCH_MATES, "{mixed:?}, alone {alone:?}");
    }
    assert!(difference(&alone[0], &alone[1]) > 10.0 * tolerance::BATCH_MATES, "rows score apart, so a mix-up shows");
}

#[test]
fn lines_that_are_no_rows_are_errors_of_their_own() {
    let job = Job::new();
    let good = |id: &str| format!("{{\"id\": \"{id}\", \"title\": \"red dress\"}}\n");
    let wrong_types =
        "{\"id\": \"t\", \"title\": 7}\n{\"id\": \"i\", \"title\": \"x\", \"image\": [1]}\n{\"id\": 1.5}\n";
    let broken = "{\"id\": \"cut\", \"tit\n[1, 2]\nnot JSON\n";
    let jsonl = [broken, &good("1"), wrong_types, "\n", &good("2")].concat();
    let csv = "id,title\n1,red dress\n2\n3,a,b,c\n4,blue dress\n";
    for (name, content, expected) in [
        (
            "lines.jsonl",
            jsonl.as_str(),
            &["invalid_json", "invalid_json", "invalid_json", "1", "wrong_type", "wrong_type", "wrong_type", "2"][..],
        ),
        ("lines.csv", csv, &["1", "field_count", "field_count", "4"]),
    ] {
        let input = job.write(name, content);
        let (found, _) = tag(&job, &input, "result.jsonl", "tract");
        let short = |row: ResultRow| match row.error {
            Some(error) => error.split(':').next().unwrap_or_default().to_owned(),
            None => row.id.unwrap_or_default(),
        };
        assert_eq!(found.into_iter().map(short).collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn a_file_of_bad_rows_alone_is_written_and_exits_1() {
    let job = Job::new();
    for format in Format::ALL {
        let bad: Vec<Case> = cases(format)
            .into_iter()
            .filter(|case| matches!(case.outcome, Outcome::Error(_)) && case.id != Some("text only"))
            .collect();
        let input = format.write(&job, "bad", &rows(&bad));
        let output = job.at("bad-result.parquet");
        let (code, _, stderr) = run(&mut job.tag_file(&input, &output));
        assert_eq!(code, 1, "{format:?}: {stderr}");
        assert!(stderr.contains(&format!("none of the {} rows has a result", bad.len())), "{format:?}: {stderr}");
        check(format, &bad, &results(&output));
    }
}
