//! Products whose colour is only to be seen and whose material is only to be read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use std::sync::{Mutex, MutexGuard, PoisonError};

use mbsd_train::Run;

const COLOURS: [(&str, [u8; 3]); 3] = [("red", [200, 30, 30]), ("green", [30, 180, 40]), ("blue", [30, 40, 200])];
const MATERIALS: [&str; 2] = ["cotton", "wool"];
const KINDS: [&str; 4] = ["shirt", "scarf", "hat", "coat"];

/// Held by tests that train in this process: its random numbers are shared by all threads, so runs beside each other
/// would not be the same twice.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TRAINING: Mutex<()> = Mutex::new(());
    TRAINING.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Catalogue {
    pub(crate) folder: tempfile::TempDir,
}

impl Catalogue {
    /// Writes `train.jsonl`, `validation.jsonl`, `tags.txt`, and the pairs of stage 2 and of alignment.
    pub(crate) fn new(train: usize, validation: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, rows) in [("train", train), ("validation", validation)] {
            let write = |file: String, lines: String| std::fs::write(folder.path().join(file), lines).unwrap();
            write(format!("{name}.jsonl"), (0..rows).map(|row| product(folder.path(), name, row)).collect());
            write(format!("stage2-{name}.jsonl"), (0..rows).map(|row| queries(name, row)).collect());
            write(format!("alignment-{name}.jsonl"), (0..rows).map(|row| compared(name, row, rows)).collect());
        }
        let tags = "Colour:red\nColour:green\nColour:blue\nMaterial:cotton\nMaterial:wool\n";
        std::fs::write(folder.path().join("tags.txt"), tags).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `name`, so many products without images whose titles are no words, as packed CSV of which this share is there.
    pub(crate) fn write_packed(&self, name: &str, products: u64, share: f64) {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, b"id,title,colour,material\n").unwrap();
        for row in 0..products {
            let title = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let colour = COLOURS[row as usize % 3].0;
            let line = format!("p{row},{title:x},{colour},wool\n");
            std::io::Write::write_all(&mut encoder, line.as_bytes()).unwrap();
        }
        let packed = encoder.finish().unwrap();
        std::fs::write(self.path(name), &packed[..(packed.len() as f64 * share) as usize]).unwrap();
    }

    /// A run over the catalogue: two layers of 64.
    pub(crate) fn run(&self, task: &str, output: &str, changes: &[&str]) -> Run {
        let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
        Run::from_toml(&self.toml(task, output), "run.toml", &changes).unwrap()
    }

    pub(crate) fn toml(&self, task: &str, output: &str) -> String {
        let folder = self.folder.path().display();
        let table = match task {
            "match" => format!(
                "[match]\ntags = '{folder}/tags.txt'\nattributes = {{ Colour = 'colour', Material = 'material' }}\nredact_tags = false"
            ),
            "classification" => "[classification]\nlabel_column = 'colour'".to_owned(),
            "stage1" => "[stage1]".to_owned(),
            other => format!(
                "[{other}]\npairs = '{folder}/{other}-train.jsonl'\nvalidation_pairs = '{folder}/{other}-validation.jsonl'"
            ),
        };
        format!(
            "objective = '{task}'\noutput = '{folder}/{output}'\nseed = 5\n\
             [model]\nimage_size = 32\npatch_size = 16\nhidden_size = 64\nnum_hidden_layers = 2\n\
             num_attention_heads = 2\nintermediate_size = 128\ninitializer_range = 0.12\nmax_position_embeddings = 16\n\
             [tokenizer]\nvocab_size = 200\n\
             [data]\ntrain = '{folder}/train.jsonl'\nvalidation = '{folder}/validation.jsonl'\n{table}\n\
             [optimizer]\nname = 'adamw'\nlearning_rate = 1e-3\n\
             [training]\nepochs = 2\nbatch_size = 16\nlog_every = 5\n"
        )
    }
}

/// A query that fits a product, and one that asks for another colour or material.
fn queries(split: &str, row: usize) -> String {
    let (colour, material) = (COLOURS[row % 3].0, MATERIALS[(row / 3) % 2]);
    let wrong = match row % 2 {
        0 => format!("{} {material}", COLOURS[(row + 1) % 3].0),
        _ => format!("{colour} {}", MATERIALS[(row / 3 + 1) % 2]),
    };
    [(format!("{colour} {material}"), 1), (wrong, 0)]
        .map(|(query, label)| {
            format!("{{\"product\": \"{split}{row}\", \"query\": \"{query}\", \"label\": {label}}}\n")
        })
        .concat()
}

/// Two products and whether the second is red. The paper's head adds what it makes of each product, so only such labels, not
/// likeness, can be told by it.
fn compared(split: &str, row: usize, rows: usize) -> String {
    [row + 1, row + 5]
        .map(|other| other % rows)
        .map(|other| {
            let label = u8::from(other % 3 == 0);
            format!("{{\"source\": \"{split}{row}\", \"target\": \"{split}{other}\", \"label\": {label}}}\n")
        })
        .concat()
}

fn product(folder: &Path, split: &str, row: usize) -> String {
    let (colour, rgb) = COLOURS[row % 3];
    let (material, kind) = (MATERIALS[(row / 3) % 2], KINDS[(row / 6) % 4]);
    let file = format!("{split}-{row}.png");
    let shade = (row % 7) as u8 * 5;
    let image = image::RgbImage::from_fn(20, 24, |x, y| {
        let inside = (4..16).contains(&x) && (4..20).contains(&y);
        image::Rgb(if inside { rgb.map(|v| v.saturating_add(shade)) } else { [255; 3] })
    });
    image.save(folder.join(&file)).unwrap();
    let mut line = String::new();
    writeln!(
        line,
        r#"{{"id": "{split}{row}", "title": "{material} {kind}", "image": "{file}", "colour": "{colour}", "material": "{material}"}}"#
    )
    .unwrap();
    line
}
