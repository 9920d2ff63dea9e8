//! Images: bytes to RGB under limits, and RGB to the pixels the model reads.

mod decode;
mod error;
mod format;
mod jpeg;
mod preprocess;
mod resample;

pub use ::image::RgbImage;
pub use decode::{MAX_ALLOC_BYTES, MAX_FILE_BYTES, MAX_JPEG_SCANS, MAX_PIXELS, MAX_SIDE, decode};
pub use error::ImageError;
pub use preprocess::{Preprocessor, PreprocessorError};
