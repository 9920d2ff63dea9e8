//! A request from its beginning: a title and an encoded image a row, as a catalogue has them.

use std::hint::black_box;
use std::io::Cursor;
use std::path::PathBuf;
use std::time::Instant;

use image::{ImageFormat, Rgb, RgbImage};
use mbsd_spec::bundle::TensorSpec;
use mbsd_spec::image::decode;
use mbsd_spec::{NamedTensors, Preprocessor, Tokenizer, collate_pixels, collate_text};
use serde::{Deserialize, Serialize};

use super::inputs::reads_text;
use super::report::Stages;
use crate::engine::{Session, Source};

/// Width and height of the images: a usual size in catalogues.
const SIDE: u32 = 800;

/// Words of the titles.
const TITLE: &str =
    "women's long sleeve half-high collar knitted dress slim fit autumn winter wine red 秋冬新款半高领连衣裙 ";

/// Where a bundle's preprocessing is described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PipelineFiles {
    pub(super) tokenizer: PathBuf,
    pub(super) preprocessor: PathBuf,
}

pub(super) struct Pipeline {
    text: Option<Texts>,
    image: Option<Images>,
    rows: usize,
}

struct Texts {
    tokenizer: Tokenizer,
    title: String,
    tokens: usize,
}

struct Images {
    preprocessor: Preprocessor,
    encoded: Vec<u8>,
}

impl Pipeline {
    pub(super) fn new(
        files: &PipelineFiles,
        inputs: &[TensorSpec],
        rows: usize,
        text: Option<usize>,
    ) -> Result<Self, Source> {
        let text = match text.filter(|_| reads_text(inputs)) {
            Some(tokens) => {
                let tokenizer = Tokenizer::from_file(&files.tokenizer)?;
                let mut title = TITLE.to_owned();
                while tokenizer.encode(&title).len() + 2 < tokens {
                    title.push_str(TITLE);
                }
                Some(Texts { tokenizer, title, tokens })
            }
            None => None,
        };
        let image = match inputs.iter().any(|spec| spec.name == "pixel_values") {
            true => {
                Some(Images { preprocessor: Preprocessor::from_file(&files.preprocessor)?, encoded: photograph()? })
            }
            false => None,
        };
        Ok(Self { text, image, rows })
    }

    /// Serves one request and says where its time went, in milliseconds.
    pub(super) fn request(&self, session: &mut dyn Session) -> Result<Stages, Source> {
        let mut stages = Stages::default();
        let mut inputs = NamedTensors::new();
        if let Some(texts) = &self.text {
            let rows: Vec<_> = timed(&mut stages.tokenize_ms, || {
                let row = |_| texts.tokenizer.title_row(&texts.tokenizer.encode(black_box(&texts.title)), texts.tokens);
                (0..self.rows).map(row).collect()
            });
            let collated = timed(&mut stages.collate_ms, || collate_text(&rows.iter().collect::<Vec<_>>()));
            // Not every graph takes all of them.
            inputs.extend(
                collated.into_iter().filter(|(name, _)| session.inputs().iter().any(|spec| spec.name == *name)),
            );
        }
        if let Some(images) = &self.image {
            let mut pixels = Vec::with_capacity(self.rows);
            for _ in 0..self.rows {
                let image = timed(&mut stages.decode_ms, || decode(black_box(&images.encoded)))?;
                pixels.push(timed(&mut stages.preprocess_ms, || images.preprocessor.pixels(&image)));
            }
            let rows: Vec<&[f32]> = pixels.iter().map(Vec::as_slice).collect();
            let (height, width) = (images.preprocessor.height(), images.preprocessor.width());
            let pixels = timed(&mut stages.collate_ms, || collate_pixels(&rows, height, width))?;
            inputs.insert("pixel_values".to_owned(), pixels);
        }
        timed(&mut stages.infer_ms, || session.run(&inputs))?;
        Ok(stages)
    }
}

fn timed<T>(milliseconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *milliseconds += start.elapsed().as_secs_f64() * 1e3;
    result
}

/// A JPEG with slopes and edges, neither flat nor noise.
fn photograph() -> Result<Vec<u8>, Source> {
    let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let edge = if (x / 24 + y / 40) % 2 == 0 { 60 } else { 0 };
        Rgb([(x * 195 / SIDE) as u8 + edge, (y * 195 / SIDE) as u8 + edge, ((x * y) >> 6) as u8 / 2 + edge])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg)?;
    Ok(bytes.into_inner())
}
