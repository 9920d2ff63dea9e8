//! A small bundle, labelled rows that fit it, and the command over them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use burn::tensor::Device;
use mbsd_export::bundle::{ExportRequest, export};
use mbsd_export::layout::Layout;
use mbsd_net::{Head, Mbsd};
use mbsd_runtime::tensors;
use mbsd_spec::{Attention, Config, NamedTensors, Precision, Tensor, Tokenizer, Variant};
use mbsd_tests::binaries::program;
use mbsd_tests::bundles::{small_config, vocabulary};
use tempfile::TempDir;

/// Labelled rows of the fixture.
pub(crate) const ROWS: usize = 48;

/// A working folder: `bundle/`, and `rows.jsonl` with titles, images, tags and labels of both kinds.
pub(crate) struct Work {
    folder: TempDir,
}

impl Work {
    /// A bundle for a head, its weights random and wide.
    pub(crate) fn new(head: Head) -> Self {
        Self::with_weights(head, |_| ())
    }

    /// As [`Work::new`], with the weights changed before the export.
    pub(crate) fn with_weights(head: Head, change: impl FnOnce(&mut NamedTensors)) -> Self {
        Self::of(small_config(), head, change)
    }

    /// A bundle for match whose products are read apart from tags.
    pub(crate) fn one_way() -> Self {
        let attention = Attention::OneWay { title_position: 20 };
        Self::of(Config { attention, ..small_config() }, Head::Match, |_| ())
    }

    fn of(config: Config, head: Head, change: impl FnOnce(&mut NamedTensors)) -> Self {
        let work = Self { folder: tempfile::tempdir().unwrap() };
        let weights = work.at("model.safetensors");
        {
            // All tests of the process draw from one source.
            static DRAWING: Mutex<()> = Mutex::new(());
            let _drawing = DRAWING.lock();
            let device = Device::flex();
            device.seed(7);
            mbsd_net::save(&Mbsd::init_with(&config, head, 0.15, &device), &weights).unwrap();
        }
        let mut values = tensors::read(&weights).unwrap();
        change(&mut values);
        tensors::write(&weights, &values).unwrap();
        fs::write(work.at("config.json"), config.to_json()).unwrap();
        fs::write(work.at("tokenizer.json"), Tokenizer::from_vocab(vocabulary(), true).unwrap().to_json()).unwrap();
        export(&ExportRequest {
            checkpoint: work.folder.path().to_owned(),
            config: None,
            task: None,
            variants: Variant::ENCODERS.to_vec(),
            precisions: vec![Precision::F32],
            shared_weights: false,
            layout: Layout::Bundle,
            tensorrt: false,
            tokenizer: None,
            labels: None,
            engines: Vec::new(),
            engine_options: Default::default(),
            out: work.at("bundle"),
        })
        .unwrap();
        work.write_rows();
        work
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_rows(&self) {
        fs::create_dir(self.at("images")).unwrap();
        let words = ["red", "blue", "dress", "shirt", "long", "wool", "summer", "skirt"];
        let mut rows = String::new();
        for row in 0..ROWS {
            let title: Vec<&str> = (0..1 + row % 5).map(|word| words[(row * 3 + word * 5) % words.len()]).collect();
            let image = image::RgbImage::from_fn(32, 32, |x, y| {
                let value = |c: u32| ((row as u32 * 37 + x * (c + 3) + y * 11 * (c + 1)) % 256) as u8;
                image::Rgb([value(0), value(1), value(2)])
            });
            image.save(self.at(&format!("images/{row}.png"))).unwrap();
            let (tag, title) = (words[row % 3], title.join(" "));
            let (label, class) = (row * 7 / 3 % 2, row % 3);
            writeln!(
                rows,
                r#"{{"id": "p{row}", "title": "{title}", "image": "images/{row}.png", "tag": "colour:{tag}", "label": {label}, "class": "{class}"}}"#
            )
            .unwrap();
        }
        fs::write(self.at("rows.jsonl"), rows).unwrap();
    }

    /// `mbsd calibrate` of the bundle with `rows.jsonl`.
    pub(crate) fn calibrate(&self, method: &str, out: &str) -> Command {
        self.calibrate_bundle(&self.at("bundle"), method, out)
    }

    /// `mbsd calibrate` of another bundle.
    pub(crate) fn calibrate_bundle(&self, bundle: &Path, method: &str, out: &str) -> Command {
        let mut command = program("mbsd");
        command.args(["calibrate", "--method", method, "--threads", "1", "--bundle"]).arg(bundle);
        command.arg("--data").arg(self.at("rows.jsonl")).arg("--out").arg(self.at(out));
        command
    }
}

/// Sets every value of the tensors whose name contains `part`.
pub(crate) fn fill(tensors: &mut NamedTensors, part: &str, value: f32) {
    let mut found = false;
    for (_, tensor) in tensors.iter_mut().filter(|(name, _)| name.contains(part)) {
        if let Tensor::F32 { data, .. } = tensor {
            data.fill(value);
            found = true;
        }
    }
    assert!(found, "no weight is called {part}");
}
