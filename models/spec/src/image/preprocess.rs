//! RGB images to the pixels the model reads.

use std::path::{Path, PathBuf};

use ::image::RgbImage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::resample::bicubic;
use crate::config::Config;

/// Pillow's number of the bicubic filter.
const BICUBIC: u64 = 3;

/// The largest side pixels are made for, as for `image_size`.
const MAX_SIDE: u32 = 4096;

/// How an image becomes `pixel_values`: squashed to `height` x `width` by antialiased bicubic interpolation, divided
/// by 255, then `(value - mean) / std` per channel.
///
/// In files: a transformers `preprocessor_config.json`. Fields that do not change the pixels are ignored, values that
/// cannot be honoured are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "File", into = "File")]
pub struct Preprocessor {
    height: u32,
    width: u32,
    rescale_factor: f64,
    mean: [f64; 3],
    std: [f64; 3],
}

/// Preprocessing that cannot be read or honoured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessorError {
    /// The file cannot be read.
    #[error("cannot read the preprocessing {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not JSON, a field is missing or has the wrong type.
    #[error("not a preprocessor_config.json: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A value this project cannot honour.
    #[error("preprocessing field `{field}`: {reason}")]
    Value {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it and what would do.
        reason: String,
    },
}

impl Preprocessor {
    /// What the paper does (mean and std 0.5), for a model's image size.
    pub fn new(config: &Config) -> Self {
        let side = config.image_size as u32;
        Self { height: side, width: side, rescale_factor: 1.0 / 255.0, mean: [0.5; 3], std: [0.5; 3] }
    }

    /// Reads a `preprocessor_config.json`.
    ///
    /// # Errors
    /// See [`PreprocessorError`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, PreprocessorError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| PreprocessorError::Read { path: path.to_owned(), source })?;
        Self::from_json(&text)
    }

    /// Reads the text of a `preprocessor_config.json`.
    ///
    /// # Errors
    /// See [`PreprocessorError`].
    pub fn from_json(text: &str) -> Result<Self, PreprocessorError> {
        let file: File = serde_json::from_str(text)?;
        Self::try_from(file)
    }

    /// The text of a `preprocessor_config.json`, with a closing newline.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a struct of plain fields is JSON");
        text.push('\n');
        text
    }

    /// Checks that the pixels have the size the model takes.
    ///
    /// # Errors
    /// [`PreprocessorError::Value`] for `size`.
    pub fn check_fits(&self, config: &Config) -> Result<(), PreprocessorError> {
        if (self.height(), self.width()) == (config.image_size, config.image_size) {
            return Ok(());
        }
        let reason = format!(
            "{} x {} is not the model's image_size {}: they do not belong together",
            self.height, self.width, config.image_size
        );
        Err(PreprocessorError::Value { field: "size", reason })
    }

    /// Height of the pixels.
    pub fn height(&self) -> usize {
        self.height as usize
    }

    /// Width of the pixels.
    pub fn width(&self) -> usize {
        self.width as usize
    }

    /// The image squashed to `height` x `width`, its aspect ratio ignored: what Pillow's `resize` with `BICUBIC` makes of
    /// it. An image of that size is returned as it is.
    pub fn resize(&self, image: &RgbImage) -> RgbImage {
        bicubic(image, self.width, self.height)
    }

    /// The pixels of an image of any size, `[3, height, width]`.
    pub fn pixels(&self, image: &RgbImage) -> Vec<f32> {
        let resized = self.resize(image);
        let values = resized.as_raw();
        let mut pixels = Vec::with_capacity(values.len());
        for channel in 0..3 {
            let levels = self.levels(channel);
            pixels.extend(values[channel..].iter().step_by(3).map(|&level| levels[usize::from(level)]));
        }
        pixels
    }

    /// What each of the 256 levels of a channel becomes.
    fn levels(&self, channel: usize) -> [f32; 256] {
        std::array::from_fn(|level| {
            ((level as f64 * self.rescale_factor - self.mean[channel]) / self.std[channel]) as f32
        })
    }
}

/// A `preprocessor_config.json` as it lies on disk.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    #[serde(default = "yes")]
    do_convert_rgb: Option<bool>,
    #[serde(default = "yes")]
    do_resize: Option<bool>,
    size: Value,
    resample: u64,
    #[serde(default = "yes")]
    do_rescale: Option<bool>,
    #[serde(default)]
    rescale_factor: Option<f64>,
    #[serde(default = "yes")]
    do_normalize: Option<bool>,
    image_mean: [f64; 3],
    image_std: [f64; 3],
    #[serde(default, skip_serializing)]
    do_center_crop: Option<bool>,
    #[serde(default, skip_serializing)]
    do_pad: Option<bool>,
}

fn yes() -> Option<bool> {
    Some(true)
}

impl From<Preprocessor> for File {
    fn from(preprocessor: Preprocessor) -> Self {
        Self {
            do_convert_rgb: yes(),
            do_resize: yes(),
            size: serde_json::json!({"height": preprocessor.height, "width": preprocessor.width}),
            resample: BICUBIC,
            do_rescale: yes(),
            rescale_factor: Some(preprocessor.rescale_factor),
            do_normalize: yes(),
            image_mean: preprocessor.mean,
            image_std: preprocessor.std,
            do_center_crop: None,
            do_pad: None,
        }
    }
}

impl TryFrom<File> for Preprocessor {
    type Error = PreprocessorError;

    fn try_from(file: File) -> Result<Self, PreprocessorError> {
        let fail = |field, reason: String| Err(PreprocessorError::Value { field, reason });
        for (field, given, wanted) in [
            ("do_convert_rgb", file.do_convert_rgb, true),
            ("do_resize", file.do_resize, true),
            ("do_rescale", file.do_rescale, true),
            ("do_normalize", file.do_normalize, true),
            ("do_center_crop", file.do_center_crop, false),
            ("do_pad", file.do_pad, false),
        ] {
            if given.is_some_and(|given| given != wanted) {
                return fail(field, format!("{} is not supported, only {wanted}", !wanted));
            }
        }
        if file.resample != BICUBIC {
            return fail("resample", format!("{} is not supported, only {BICUBIC} (bicubic)", file.resample));
        }
        let Some((height, width)) = sides(&file.size) else {
            let reason = format!(
                "{} is not supported, only {{\"height\": h, \"width\": w}} or one number, up to {MAX_SIDE}",
                file.size
            );
            return fail("size", reason);
        };
        let rescale_factor = file.rescale_factor.unwrap_or(1.0 / 255.0);
        if !(rescale_factor > 0.0 && rescale_factor <= 1.0) {
            return fail("rescale_factor", format!("{rescale_factor} is not between 0 and 1"));
        }
        if file.image_mean.iter().any(|mean| !mean.is_finite()) {
            return fail("image_mean", "not three numbers".to_owned());
        }
        if file.image_std.iter().any(|std| !(std.is_finite() && *std > 0.0)) {
            return fail("image_std", format!("{:?} are not three numbers above 0", file.image_std));
        }
        Ok(Self { height, width, rescale_factor, mean: file.image_mean, std: file.image_std })
    }
}

/// Height and width of a `size` that asks for exactly these.
fn sides(size: &Value) -> Option<(u32, u32)> {
    let side = |value: &Value| {
        value.as_u64().and_then(|side| u32::try_from(side).ok()).filter(|side| (1..=MAX_SIDE).contains(side))
    };
    match size {
        Value::Object(fields) if fields.len() == 2 => Some((side(fields.get("height")?)?, side(fields.get("width")?)?)),
        size => side(size).map(|side| (side, side)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Preprocessor {
        Preprocessor::new(&Config::base())
    }

    #[test]
    fn it_reads_what_it_writes() {
        let text = base().to_json();
        assert_eq!(Preprocessor::from_json(&text).unwrap(), base());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["size"], serde_json::json!({"height": 224, "width": 224}));
        assert_eq!((&value["resample"], &value["do_rescale"]), (&3.into(), &true.into()));
        assert_eq!(value["rescale_factor"], serde_json::json!(0.00392156862745098));
        assert_eq!(value["image_mean"], serde_json::json!([0.5, 0.5, 0.5]));
    }

    #[test]
    fn a_transformers_file_is_read() {
        let text = r#"{"do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "ViTImageProcessor", "image_std": [0.5, 0.5, 0.5], "resample": 3,
            "rescale_factor": 0.00392156862745098, "size": 224, "do_center_crop": false}"#;
        assert_eq!(Preprocessor::from_json(text).unwrap(), base());
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (change, message) in [
            (r#""resample": 2"#, "preprocessing field `resample`: 2 is not supported, only 3 (bicubic)"),
            (r#""do_center_crop": true"#, "preprocessing field `do_center_crop`: true is not supported, only false"),
            (r#""do_rescale": false"#, "preprocessing field `do_rescale`: false is not supported, only true"),
            (
                r#""size": {"shortest_edge": 224}"#,
                "preprocessing field `size`: {\"shortest_edge\":224} is not supported",
            ),
            (r#""size": {"height": 0, "width": 224}"#, "preprocessing field `size`"),
            (r#""image_std": [0.5, 0, 0.5]"#, "preprocessing field `image_std`: [0.5, 0.0, 0.5] are not three numbers"),
            (r#""rescale_factor": 2"#, "preprocessing field `rescale_factor`: 2 is not between 0 and 1"),
            (r#""image_mean": [0.5]"#, "not a preprocessor_config.json"),
        ] {
            let mut value: Value = serde_json::from_str(&base().to_json()).unwrap();
            let change: Value = serde_json::from_str(&format!("{{{change}}}")).unwrap();
            value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let error = Preprocessor::from_json(&value.to_string()).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error:?} is not {message:?}");
        }
    }

    #[test]
    fn pixels_are_planes_from_minus_one_to_one() {
        let preprocessor = Preprocessor { height: 1, width: 2, ..base() };
        let image = RgbImage::from_raw(2, 1, vec![0, 51, 255, 255, 204, 0]).unwrap();
        let pixels = preprocessor.pixels(&image);
        for (found, expected) in pixels.iter().zip([-1.0, 1.0, -0.6, 0.6, 1.0, -1.0]) {
            assert!((found - expected).abs() < 1e-6, "{pixels:?}");
        }
        assert_eq!(pixels.len(), 6);
    }

    #[test]
    fn an_image_of_the_right_size_is_not_resampled() {
        let preprocessor = Preprocessor { height: 1, width: 2, ..base() };
        let image = RgbImage::from_raw(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(preprocessor.resize(&image), image);
        assert_eq!(preprocessor.resize(&RgbImage::new(7, 5)).dimensions(), (2, 1));
    }

    #[test]
    fn the_size_must_be_the_models() {
        assert!(base().check_fits(&Config::base()).is_ok());
        let error = Preprocessor { height: 192, ..base() }.check_fits(&Config::base()).unwrap_err().to_string();
        assert!(error.contains("192 x 224 is not the model's image_size 224"), "{error}");
    }
}
