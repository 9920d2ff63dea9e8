//! `mbsd bench` and `mbsd choose` from end to end. What they measure decides nothing here: only that they measure, say what they
//! could not, and judge reports as their figures are.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mbsd_spec::Task;
use mbsd_tests::binaries::{program, run, succeed};
use mbsd_tests::bundles::SmallBundle;
use serde_json::Value;

struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new(task: Task) -> Self {
        let folder = tempfile::tempdir().unwrap();
        SmallBundle::of(task).write(&folder.path().join("bundle"));
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `mbsd bench` over the bundle, with its report.
    fn bench(&self, more: &[&str]) -> Value {
        let json = self.path("report.json");
        let mut command = program("mbsd");
        command.arg("bench").arg("--bundle").arg(self.path("bundle")).args(more).arg("--json").arg(&json);
        succeed(&mut command);
        read(&json)
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn cells(report: &Value) -> &Vec<Value> {
    report["cells"].as_array().unwrap()
}

/// Little enough that a test takes a second or two.
const BRIEF: [&str; 8] = ["--rounds", "2", "--seconds", "0.02", "--batch", "1", "--text", "8"];

#[test]
fn a_report_that_cannot_be_written_is_told_before_anything_is_measured() {
    let case = Case::new(Task::Match);
    let mut command = program("mbsd");
    command
        .args(["bench", "--bundle"])
        .arg(case.path("bundle"))
        .args(BRIEF)
        .arg("--json")
        .arg(case.path("no/such.json"));
    let (code, stdout, stderr) = run(&mut command);
    assert!(code == 1 && stdout.is_empty() && stderr.contains("cannot write"), "{code}: {stdout}{stderr}");
}

#[test]
fn a_quick_run_measures_compares_and_chooses() {
    let case = Case::new(Task::Match);
    let start = Instant::now();
    let html = case.path("report.html");
    let report = case.bench(&["--quick", "--engines", "tract", "--html", html.to_str().unwrap()]);
    // Ten times what it takes; a hang is found, a busy machine is not.
    assert!(start.elapsed() < Duration::from_secs(30 * 10));
    assert_eq!(cells(&report).len(), 2, "batch 1 and 8 of the full graph");
    for cell in cells(&report) {
        assert_eq!(cell["status"], "measured", "{cell}");
        for field in
            ["p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "mean_ms", "load_ms", "first_ms", "items_per_second"]
        {
            assert!(cell[field].as_f64().unwrap() > 0.0, "{field}: {cell}");
        }
        assert!(cell["gflops"].as_f64().unwrap() > 0.0 && cell["share_of_peak"].as_f64().unwrap() > 0.0);
        assert!(cell["nodes"]["tract"].as_u64().unwrap() > 0);
        if cfg!(target_os = "linux") {
            assert!(cell["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
            assert!(cell["cpu_seconds"].as_f64().unwrap() > 0.0);
        }
    }
    assert_eq!(report["subjects"][0]["sha256"].as_str().unwrap().len(), 64);
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0);
    assert!(fs::read_to_string(&html).unwrap().contains("Latency by batch"));

    let (old, new) = (case.path("report.json"), case.path("slower.json"));
    let compare = |threshold: &str| {
        let mut command = program("mbsd");
        run(command.arg("bench").arg("--compare").arg(&old).arg(&new).args(["--threshold", threshold]))
    };
    let change = |factor: f64| {
        let mut changed = report.clone();
        for cell in changed["cells"].as_array_mut().unwrap() {
            // Rounds alike, so that the verdict does not hang on how quiet this machine is.
            let rounds = [0, 1, 2].map(|round| factor * (100.0 + f64::from(round) * 0.01));
            cell["round_p50_ms"] = serde_json::json!(rounds);
        }
        changed
    };
    fs::write(&old, change(1.0).to_string()).unwrap();
    for (factor, threshold, code, said) in [
        (1.3, "0.2", 1, "**REGRESSION**"),
        (1.3, "0.5", 0, "2 slower"),
        (0.5, "0.2", 0, "2 faster"),
        (1.0, "0.2", 0, "2 the same within noise"),
    ] {
        fs::write(&new, change(factor).to_string()).unwrap();
        let (found, stdout, stderr) = compare(threshold);
        assert_eq!(found, code, "{factor} {threshold}: {stdout}{stderr}");
        assert!(stdout.contains(said), "{stdout}");
    }

    let choose = |more: &[&str]| run(program("mbsd").arg("choose").arg("--report").arg(&old).args(more));
    let (code, _, stderr) = choose(&["--bundle", "b"]);
    assert!(code == 1 && stderr.contains("give --report or --bundle, not both"), "{code}: {stderr}");
    let (code, stdout, _) = choose(&["--json"]);
    let choice: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &choice["engine"]), (0, &Value::from("tract")));
    let (code, _, stderr) = choose(&["--max-ms", "0.000001"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("nothing that was measured is within the limits") && stderr.contains("p95 is"), "{stderr}");
    let (code, _, stderr) = choose(&["--min-auc", "0.5"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("roc_auc was not measured; `mbsd calibrate`"), "{stderr}");
}

#[test]
fn an_engine_that_is_not_there_is_said_and_the_rest_is_measured() {
    let case = Case::new(Task::Classification);
    let arguments =
        [&BRIEF[..], &["--engines", "tract,ort-cuda", "--onnxruntime", "/no/such/libonnxruntime.so"]].concat();
    let report = case.bench(&arguments);
    let of = |engine: &str| cells(&report).iter().filter(|cell| cell["engine"] == engine).collect::<Vec<_>>();
    assert_eq!(of("tract").len(), 3);
    assert!(of("tract").iter().all(|cell| cell["status"] == "measured"), "{report}");
    for cell in of("ort-cuda") {
        assert_eq!(cell["status"], "not_measured");
        assert!(cell["reason"].as_str().unwrap().contains("/no/such/libonnxruntime.so"), "{cell}");
    }
    // The image graph of classification reads no text.
    assert!(of("tract").iter().any(|cell| cell["variant"] == "image" && cell["text"].is_null()));

    let mut alone = program("mbsd");
    alone.arg("bench").arg("--bundle").arg(case.path("bundle")).args(BRIEF);
    let (code, stdout, stderr) =
        run(alone.args(["--engines", "ort-cpu", "--onnxruntime", "/no/such/libonnxruntime.so"]));
    assert_eq!(code, 1);
    assert!(stdout.contains("Not measured") && stderr.contains("no cell could be measured"), "{stdout}{stderr}");
}

#[test]
fn loads_stages_and_bad_cells() {
    let case = Case::new(Task::Match);
    let arguments = [&BRIEF[..], &["--engines", "tract", "--variants", "full,pair", "--threads", "2"]].concat();
    let loads = [&arguments[..], &["--load", "closed,saturated,open:200", "--with-pipeline"]].concat();
    let report = case.bench(&loads);
    let measured: Vec<&Value> = cells(&report).iter().filter(|cell| cell["variant"] == "full").collect();
    assert_eq!(
        measured.iter().map(|cell| cell["load"].as_str().unwrap()).collect::<Vec<_>>(),
        ["closed", "saturated", "open"]
    );
    for cell in measured {
        assert_eq!(cell["status"], "measured", "{cell}");
        for stage in ["tokenize_ms", "decode_ms", "preprocess_ms", "collate_ms", "infer_ms"] {
            assert!(cell["stages"][stage].as_f64().unwrap() > 0.0, "{stage}: {cell}");
        }
    }
    assert_eq!(cells(&report)[2]["rate"], 200.0);
    for cell in cells(&report).iter().filter(|cell| cell["variant"] == "pair") {
        assert_eq!(cell["reason"], "the bundle has no such graph");
    }
    let long = case.bench(&["--engines", "tract", "--quick", "--text", "8,41", "--batch", "1"]);
    let reasons: Vec<&Value> = cells(&long).iter().map(|cell| &cell["reason"]).collect();
    assert_eq!(reasons, [&Value::Null, &Value::from("the text of this bundle's graphs has at most 40 tokens")]);
}

#[test]
fn graph_files_and_peers_are_measured_beside() {
    let case = Case::new(Task::Match);
    let answer = r#"{"outcome": "measured", "engine_version": "9.9", "load_ms": 1, "first_ms": 2, "latencies_ms": [3, 4, 5],
        "elapsed_seconds": 0.012, "cpu_seconds": null, "peak_memory_bytes": null, "steady": true}"#;
    let script = case.path("peer.sh");
    fs::write(&script, format!("cat > /dev/null\nprintf '%s\\n' '{}'\n", answer.replace('\n', ""))).unwrap();
    let graph = format!("encoder={}", case.path("bundle/onnx/text.onnx").display());
    let mut command = program("mbsd");
    command.args(["bench", "--graph", &graph, "--engines", "tract"]).args(BRIEF);
    command.arg("--peer").arg(format!("other=sh {}", script.display())).arg("--peer").arg("broken=false");
    let json = case.path("report.json");
    succeed(command.arg("--json").arg(&json));
    let report = read(&json);
    let of = |engine: &str| cells(&report).iter().find(|cell| cell["engine"] == engine).unwrap();
    assert_eq!((&of("tract")["status"], &of("tract")["subject"]), (&Value::from("measured"), &Value::from("encoder")));
    assert_eq!((of("other")["p50_ms"].as_f64(), of("other")["requests"].as_u64()), (Some(4.0), Some(6)));
    assert!(of("broken")["reason"].as_str().unwrap().contains("ended without an answer (exit status: 1)"));
    let engines = report["engines"].as_array().unwrap();
    assert!(engines.iter().any(|engine| engine["engine"] == "other" && engine["version"] == "9.9"));
}

#[test]
fn wrong_usage_and_files_that_are_no_reports() {
    let case = Case::new(Task::Match);
    let mbsd = |arguments: &[&str]| run(program("mbsd").args(arguments));
    for (arguments, code, said) in [
        (&["bench"][..], 1, "there is nothing to measure: give --bundle"),
        (&["choose"], 1, "there is nothing to choose from: give --bundle"),
        (&["bench", "--bundle", "b", "--load", "open:0"], 2, "requests a second"),
        (&["bench", "--bundle", "b", "--batch", "0"], 2, "invalid value '0'"),
        (&["bench", "--graph", "b"], 2, "a name and a file"),
        (&["bench", "--bundle", "/no/such/bundle"], 1, "is not a bundle"),
    ] {
        let (found, _, stderr) = mbsd(arguments);
        assert_eq!(found, code, "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    let file = case.path("other.json");
    fs::write(&file, "{\"rows\": 3}").unwrap();
    let file = file.to_str().unwrap();
    let (code, _, stderr) = mbsd(&["bench", "--compare", file, file]);
    assert_eq!(code, 1);
    assert!(stderr.contains("not a report of `mbsd bench`"), "{stderr}");
}
