//! `mbsd export --layout hf` and `--layout triton`: what other servers find in them.

mod hub;
mod python;
mod refusals;
mod text_format;
mod triton;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mbsd_net::Head;
use mbsd_tests::binaries::{program, succeed};
use mbsd_tests::bundles;

/// A checkpoint in a folder of its own, and what was exported of it.
pub(crate) struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    pub(crate) fn new(head: Head) -> Self {
        let case = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(case.at("checkpoint")).unwrap();
        bundles::checkpoint(head, 10.0, &case.at("checkpoint"));
        case
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `mbsd export` of the checkpoint in both precisions.
    pub(crate) fn export(&self, layout: &str, extra: &[&str]) -> PathBuf {
        let out = self.at(layout);
        let mut export = program("mbsd-export");
        export.arg("--checkpoint").arg(self.at("checkpoint")).args(["--layout", layout, "--engines", "tract"]);
        export.args(["--precision", "f32,f16"]).args(extra).arg("--out").arg(&out);
        succeed(&mut export);
        out
    }

    /// `mbsd export --bundle`: another layout of a bundle.
    pub(crate) fn relayout(&self, bundle: &Path, layout: &str, out: &str, extra: &[&str]) -> PathBuf {
        let out = self.at(out);
        let mut export = program("mbsd-export");
        export.arg("--bundle").arg(bundle).args(["--layout", layout]).args(extra).arg("--out").arg(&out);
        succeed(&mut export);
        out
    }
}

/// The files of a folder by relative path.
pub(crate) fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                all.insert(name, fs::read(path).unwrap());
            }
        }
    }
    all
}

#[test]
fn a_layout_is_the_same_from_a_checkpoint_and_from_its_bundle() {
    let case = Case::new(Head::Match);
    let bundle = case.export("bundle", &[]);
    let before = files(&bundle);
    for layout in ["hf", "triton"] {
        let direct = files(&case.export(layout, &[]));
        let from_bundle = files(&case.relayout(&bundle, layout, &format!("{layout}-again"), &[]));
        assert_eq!(direct.keys().collect::<Vec<_>>(), from_bundle.keys().collect::<Vec<_>>());
        for (name, bytes) in &direct {
            assert!(from_bundle[name] == *bytes, "{layout}: {name} differs");
        }
    }
    assert!(files(&bundle) == before, "the bundle stays as it was");
    let left: Vec<_> =
        fs::read_dir(case.at("")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| !name.starts_with('.')), "nothing is left behind: {left:?}");
}
