//! Image bytes to upright 8-bit RGB, within limits.

use std::error::Error;
use std::io::{self, Cursor};

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::error::ImageError;
use super::format::recognise;
use super::jpeg;

/// Bytes a file may have.
pub const MAX_FILE_BYTES: usize = 20_000_000;

/// Pixels a side may have.
pub const MAX_SIDE: u32 = 8192;

/// Pixels an image may have.
pub const MAX_PIXELS: u64 = 32_000_000;

/// Bytes a decoder may allocate.
pub const MAX_ALLOC_BYTES: u64 = 128 << 20;

/// Scans a progressive JPEG may have. Encoders write about ten; each costs a pass over the whole image.
pub const MAX_JPEG_SCANS: usize = 100;

/// Decodes a JPEG, PNG, WebP, GIF or BMP, told apart by content, to upright 8-bit RGB.
///
/// EXIF orientation is applied; transparency is laid over white; grey, palette, 16-bit, CMYK and YCCK images become
/// RGB (the latter two as Adobe writes them, inverted). Of an animation the first picture counts: it is what a listing
/// shows before anything moves. Embedded colour profiles are not applied.
///
/// # Errors
/// See [`ImageError`]. [`MAX_FILE_BYTES`], [`MAX_SIDE`], [`MAX_PIXELS`] and [`MAX_ALLOC_BYTES`] are checked before a
/// pixel is decoded. Any bytes whatever give an image or an error.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    if bytes.len() > MAX_FILE_BYTES {
        let what = format!("{} bytes are over the limit of {MAX_FILE_BYTES} for a file", bytes.len());
        return Err(ImageError::TooLarge { what });
    }
    let (format, name) = recognise(bytes)?;
    // The decoders are foreign code over untrusted bytes: should one panic, its image is lost and no other.
    std::panic::catch_unwind(|| decode_as(bytes, format, name))
        .unwrap_or_else(|_| Err(ImageError::Damaged { format: name, reason: "its decoder gave up".to_owned() }))
}

fn decode_as(bytes: &[u8], format: ImageFormat, name: &'static str) -> Result<RgbImage, ImageError> {
    check_header(bytes, format, name)?;
    let failed = |error| translate(error, name);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOC_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    check_size(name, width, height)?;
    if decoder.total_bytes() > MAX_ALLOC_BYTES {
        let what = format!(
            "{width} x {height} pixels take {} MiB to decode, the limit is {} MiB",
            decoder.total_bytes() >> 20,
            MAX_ALLOC_BYTES >> 20
        );
        return Err(ImageError::TooLarge { what });
    }
    // An unreadable EXIF block says nothing about the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::ImageRgb8(over_white(DynamicImage::from_decoder(decoder).map_err(failed)?));
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// What can be told before a decoder is made.
fn check_header(bytes: &[u8], format: ImageFormat, name: &'static str) -> Result<(), ImageError> {
    match format {
        ImageFormat::Jpeg => jpeg::check(bytes),
        ImageFormat::Png => match bytes.get(16..24) {
            Some(&[w3, w2, w1, w0, h3, h2, h1, h0]) => {
                check_size(name, u32::from_be_bytes([w3, w2, w1, w0]), u32::from_be_bytes([h3, h2, h1, h0]))
            }
            _ => Err(ImageError::Truncated { format: name }),
        },
        // The decoder makes do with what there is of a lossy picture.
        ImageFormat::WebP => match bytes.get(4..8) {
            Some(&[l0, l1, l2, l3]) if u32::from_le_bytes([l0, l1, l2, l3]) as usize <= bytes.len() - 8 => Ok(()),
            _ => Err(ImageError::Truncated { format: name }),
        },
        _ => Ok(()),
    }
}

pub(super) fn check_size(format: &'static str, width: u32, height: u32) -> Result<(), ImageError> {
    if width == 0 || height == 0 {
        return Err(ImageError::Damaged { format, reason: format!("it declares {width} x {height} pixels") });
    }
    let too_large = |limit: String| {
        Err(ImageError::TooLarge { what: format!("{width} x {height} pixels are over the limit of {limit}") })
    };
    if width > MAX_SIDE || height > MAX_SIDE {
        return too_large(format!("{MAX_SIDE} a side"));
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return too_large(format!("{} megapixels", MAX_PIXELS / 1_000_000));
    }
    Ok(())
}

fn translate(error: ::image::ImageError, format: &'static str) -> ImageError {
    if is_end_of_file(&error) {
        return ImageError::Truncated { format };
    }
    match error {
        ::image::ImageError::Limits(_) => ImageError::TooLarge {
            what: format!("decoding the {format} file takes more than {} MiB", MAX_ALLOC_BYTES >> 20),
        },
        ::image::ImageError::Unsupported(error) => {
            ImageError::Unsupported { what: format!("this kind of {format} ({error})") }
        }
        error => ImageError::Damaged { format, reason: error.to_string() },
    }
}

/// Whether a decoder ran out of bytes. Most say so with an I/O error somewhere in the chain, the GIF decoder in words.
fn is_end_of_file(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = match error.downcast_ref::<::image::ImageError>() {
            Some(::image::ImageError::IoError(io)) => Some(io),
            _ => error.downcast_ref::<io::Error>(),
        };
        if io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof)
            || error.to_string().to_ascii_lowercase().contains("unexpected end of file")
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// 8-bit RGB, transparency laid over white.
fn over_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let mut flat = RgbImage::new(image.width(), image.height());
    for (to, from) in flat.pixels_mut().zip(image.pixels()) {
        let alpha = u32::from(from[3]);
        for channel in 0..3 {
            let sum = u32::from(from[channel]) * alpha + 255 * (255 - alpha);
            to[channel] = ((sum + 127) / 255) as u8;
        }
    }
    flat
}
