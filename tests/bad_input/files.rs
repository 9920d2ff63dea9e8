//! Files around a job: products, tags and images that cannot be read, outputs that cannot be written.

use std::fs;

use mbsd_tests::binaries::{run, succeed};

use crate::formats::{Format, Row, results};
use crate::job::{Job, TAGS};

#[test]
fn products_that_are_no_table_end_the_command() {
    let job = Job::new();
    let good = Row { id: Some("a".into()), title: Some("red dress".into()), ..Row::default() };
    let parquet = fs::read(Format::Parquet.write(&job, "good", &[good])).unwrap();
    for (name, content, says) in [
        ("products.txt", &b"id\n1\n"[..], "use .parquet, .arrow, .jsonl, .csv or .tsv"),
        ("products", b"id\n1\n", "use .parquet, .arrow, .jsonl, .csv or .tsv"),
        ("empty.jsonl", b"", "no column `id`"),
        ("empty.csv", b"", "no column `id`"),
        ("blank.jsonl", b"\n\n", "no column `id`"),
        ("no-id.csv", b"name,title\n1,red\n", "no column `id`; it has: `name`, `title`"),
        ("no-content.csv", b"id,price\n1,2\n", "no column `title`"),
        ("twice.csv", b"id,title,id\n1,red,1\n", "the header names the column `id` twice"),
        ("latin1.csv", b"id,pr\xe9nom\n1,red\n", "not UTF-8"),
        ("text.parquet", b"id,title\n1,red\n", "not a Parquet file, or cut short"),
        ("empty.parquet", b"", "not a Parquet file, or cut short"),
        ("cut.parquet", &parquet[..parquet.len() / 2], "not a Parquet file, or cut short"),
    ] {
        let input = job.write(name, content);
        job.refused(&mut job.tag_file(&input, &job.at("out.jsonl")), &[name, says]);
    }
    job.refused(&mut job.tag_file(&job.at("gone.jsonl"), &job.at("out.jsonl")), &["cannot read", "gone.jsonl"]);
    fs::create_dir(job.at("folder.jsonl")).unwrap();
    job.refused(&mut job.tag_file(&job.at("folder.jsonl"), &job.at("out.jsonl")), &["folder.jsonl"]);
    job.refused(job.tag().args(["--title-column", "name", "--image-column", "photo"]), &["no column `name`"]);
    // The titles alone would do, had nobody named the images.
    job.refused(job.tag().args(["--image-column", "photo"]), &["no column `photo`"]);
}

#[test]
fn a_column_that_is_not_there_is_told() {
    let job = Job::new();
    let input = job.write("titles.csv", "id,title\n1,red hat\n");
    let (code, _, stderr) = run(&mut job.tag_file(&input, &job.at("result.jsonl")));
    assert!(code == 0 && stderr.contains("note: the input has no column `image`"), "{code}: {stderr}");
}

#[test]
fn a_table_without_rows_gives_a_result_without_rows() {
    let job = Job::new();
    let inputs = [job.write("none.csv", "id,title\n"), Format::Parquet.write(&job, "none", &[])];
    for input in inputs {
        for output in ["result.jsonl", "result.parquet"] {
            succeed(&mut job.tag_file(&input, &job.at(output)));
            assert_eq!(results(&job.at(output)), []);
        }
    }
}

#[test]
fn an_image_folder_that_is_none_ends_the_command() {
    let job = Job::new();
    let file = job.write("file", "");
    fs::remove_dir_all(job.at("images")).unwrap();
    job.refused(&mut job.tag(), &["the image folder", "images"]);
    fs::rename(file, job.at("images")).unwrap();
    job.refused(&mut job.tag(), &["the image folder", "images"]);
}

#[test]
fn tags_that_cannot_be_read_end_the_command() {
    let job = Job::new();
    let long = "very ".repeat(20) + "long";
    for (name, content, says) in [
        ("none.txt", &b""[..], "no tags in it"),
        ("blank.txt", b" \n\n", "no tags in it"),
        ("latin1.txt", b"caf\xe9\n", "not UTF-8"),
        ("cut.json", b"[\"colour:red\", ", "cut.json"),
        ("number.json", b"3", "expected an array of tags"),
        ("nested.json", b"{\"colour\": {\"red\": 1}}", "expected an array of tags"),
        ("long.txt", long.as_bytes(), "shorten it"),
    ] {
        let tags = job.write(name, content);
        let mut command = job.command("tag", &job.at("products.jsonl"), &job.at("out.jsonl"));
        // A tag is known to be too long only to the bundle's tokenizer, which names the tag rather than the file.
        let names = if name == "long.txt" { long.as_str() } else { name };
        job.refused(command.arg("--tags").arg(tags), &[names, says]);
    }
    let mut command = job.command("tag", &job.at("products.jsonl"), &job.at("out.jsonl"));
    job.refused(command.arg("--tags").arg(job.at("gone.txt")), &["cannot read", "gone.txt"]);
}

#[test]
fn an_output_that_cannot_be_written_ends_the_command() {
    let job = Job::new();
    let input = job.at("products.jsonl");
    let before = fs::read(&input).unwrap();
    let tag = |output: &str| job.tag_file(&input, &job.at(output));
    job.refused(&mut tag("out.txt"), &["out.txt", "use .parquet or .jsonl"]);
    job.refused(&mut tag("nowhere/out.jsonl"), &["cannot write", "out.jsonl"]);
    job.refused(&mut tag("tags.txt/out.jsonl"), &["cannot write", "out.jsonl"]);
    job.refused(&mut tag("products.jsonl"), &["is an input file as well"]);
    job.refused(&mut tag("images/../products.jsonl"), &["is an input file as well"]);
    assert_eq!(fs::read(&input).unwrap(), before);
    fs::create_dir(job.at("taken.jsonl")).unwrap();
    job.refused(&mut tag("taken.jsonl"), &["taken.jsonl", "is a folder"]);
}

#[cfg(unix)]
#[test]
fn an_output_folder_without_permission_ends_the_command() {
    use std::os::unix::fs::PermissionsExt;

    let job = Job::new();
    let folder = job.at("sealed");
    fs::create_dir(&folder).unwrap();
    let permit = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    permit(0o555);
    if fs::write(folder.join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write into every folder");
    } else {
        let mut command = job.tag_file(&job.at("products.jsonl"), &folder.join("out.jsonl"));
        job.refused(&mut command, &["cannot write", "Permission denied"]);
    }
    permit(0o755);
}

#[test]
fn an_earlier_output_is_replaced_by_a_whole_one_only() {
    let job = Job::new();
    let output = job.write("result.jsonl", "earlier\n");
    let graph = job.at("bundle/onnx/text.onnx");
    let bytes = fs::read(&graph).unwrap();
    let fail = |job: &Job| {
        let (code, _, stderr) = run(&mut job.tag_file(&job.at("products.jsonl"), &output));
        assert_eq!(code, 1, "{stderr}");
        assert_eq!(fs::read_to_string(&output).unwrap(), "earlier\n");
    };
    fs::write(&graph, &bytes[1..]).unwrap();
    fail(&job);
    // A graph that fails when the first row needs it, with rows before it already on their way.
    let digest = mbsd_spec::bundle::sha256_file(&graph).unwrap();
    let manifest = job.at("bundle/manifest.json");
    let sound = fs::read_to_string(&manifest).unwrap();
    let mut forged: serde_json::Value = serde_json::from_str(&sound).unwrap();
    forged["files"]["onnx/text.onnx"] = digest.into();
    fs::write(&manifest, forged.to_string()).unwrap();
    fail(&job);
    fs::write(&manifest, sound).unwrap();
    fs::write(&graph, &bytes).unwrap();
    succeed(&mut job.tag_file(&job.at("products.jsonl"), &output));
    let rows = results(&output);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.tags.as_ref().is_some_and(|tags| tags.len() == TAGS.len())));
    let left: Vec<String> = (fs::read_dir(job.at("")).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
