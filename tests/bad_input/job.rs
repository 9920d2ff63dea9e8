//! A folder with a small match bundle, tags and images, and the commands over them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mbsd_spec::Task;
use mbsd_tests::binaries::{program, run};
use mbsd_tests::bundles::SmallBundle;
use tempfile::TempDir;

/// The tags of every job.
pub(crate) const TAGS: [&str; 5] = ["colour:red", "colour:blue", "颜色:红色", "领型:半高领", "sleeve:long"];

/// A working folder: `bundle/`, `tags.txt`, `images/`, and `products.jsonl` with two good rows.
pub(crate) struct Job {
    folder: TempDir,
}

impl Job {
    pub(crate) fn new() -> Self {
        let job = Self { folder: tempfile::tempdir().unwrap() };
        SmallBundle::of(Task::Match).write(&job.at("bundle"));
        fs::write(job.at("tags.txt"), TAGS.join("\n")).unwrap();
        fs::create_dir(job.at("images")).unwrap();
        fs::copy(fixture("rgb.jpg"), job.at("images/rgb.jpg")).unwrap();
        let rows = concat!(
            "{\"id\": \"a\", \"title\": \"red dress\", \"image\": \"rgb.jpg\"}\n",
            "{\"id\": \"b\", \"title\": \"blue dress\", \"image\": null}\n"
        );
        fs::write(job.at("products.jsonl"), rows).unwrap();
        job
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the folder and returns its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// `mbsd tag` of `products.jsonl` into `out.jsonl`.
    pub(crate) fn tag(&self) -> Command {
        self.tag_file(&self.at("products.jsonl"), &self.at("out.jsonl"))
    }

    /// `mbsd tag` of one file into another, every tag kept.
    pub(crate) fn tag_file(&self, input: &Path, output: &Path) -> Command {
        let mut command = self.command("tag", input, output);
        command.arg("--tags").arg(self.at("tags.txt")).args(["--threshold", "0"]);
        command
    }

    /// A command over products, without tags.
    pub(crate) fn command(&self, name: &str, input: &Path, output: &Path) -> Command {
        let mut command = program("mbsd");
        command.arg(name).arg("--bundle").arg(self.at("bundle")).arg("--input").arg(input);
        command.arg("--images").arg(self.at("images")).arg("--output").arg(output);
        command
    }

    /// Runs a command that must exit 1 with a message that says each of `says`, and leave no output.
    pub(crate) fn refused(&self, command: &mut Command, says: &[&str]) {
        refused(command, says);
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with("out.") && !name.ends_with(".tmp"), "{command:?} left {name}");
        }
    }
}

/// Runs a command that must exit 1 with a message that says each of `says`, and print nothing else.
pub(crate) fn refused(command: &mut Command, says: &[&str]) {
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, 1, "{command:?}: {stdout}{stderr}");
    assert!(stderr.starts_with("error: ") && stdout.is_empty(), "{command:?}: {stdout}{stderr}");
    for text in says {
        assert!(stderr.contains(text), "{command:?} does not say `{text}`: {stderr}");
    }
}

/// An image of the fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/images").join(name)
}
