//! What the first bytes of a file say it is; its name says nothing.

use ::image::ImageFormat;

use super::error::ImageError;

/// Bytes looked at.
const LOOKED_AT: usize = 512;

/// The formats that are read: what a file starts with, its name in messages.
const READ: [(&[u8], ImageFormat, &str); 5] = [
    (b"\xff\xd8\xff", ImageFormat::Jpeg, "JPEG"),
    (b"\x89PNG\r\n\x1a\n", ImageFormat::Png, "PNG"),
    (b"RIFF....WEBP", ImageFormat::WebP, "WebP"),
    (b"GIF8", ImageFormat::Gif, "GIF"),
    (b"BM", ImageFormat::Bmp, "BMP"),
];

/// Images that are not read. A dot stands for any byte.
const OTHER_IMAGES: [(&[u8], &str); 15] = [
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"....ftypavif", "AVIF"),
    (b"....ftypavis", "AVIF"),
    (b"....ftyphe", "HEIC"),
    (b"....ftypmif1", "HEIC"),
    (b"....ftypmsf1", "HEIC"),
    (b"\0\0\x01\0", "ICO"),
    (b"8BPS", "Photoshop (PSD)"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"<svg", "SVG"),
];

/// Files that are known to be something else.
const NO_IMAGES: [(&[u8], &str); 9] = [
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML document"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"....ftyp", "a video"),
    (b"{", "JSON text"),
    (b"version https://git-lfs", "a Git LFS pointer (fetch the file itself)"),
];

/// The format of a file that is read, and its name in messages.
pub(super) fn recognise(bytes: &[u8]) -> Result<(ImageFormat, &'static str), ImageError> {
    let head = &bytes[..bytes.len().min(LOOKED_AT)];
    if let Some((_, format, name)) = READ.into_iter().find(|(magic, ..)| starts(head, magic)) {
        return Ok((format, name));
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let svg = || text.starts_with(b"<?xml") && text.windows(4).any(|w| w == b"<svg");
    if svg() {
        return Err(ImageError::Unsupported { what: "an SVG image".to_owned() });
    }
    if let Some((_, name)) = OTHER_IMAGES.into_iter().find(|(magic, _)| starts(head, magic) || starts(text, magic)) {
        return Err(ImageError::Unsupported { what: format!("the format {name}") });
    }
    let found = match NO_IMAGES.into_iter().find(|(magic, _)| starts(text, magic)) {
        Some((_, name)) => format!("it is {name}"),
        None if head.iter().all(|&byte| byte == 0) => "it holds zeros".to_owned(),
        None if is_text(head) => "it is text".to_owned(),
        None => format!("it starts with the bytes {:02x?}", &head[..head.len().min(4)]),
    };
    Err(ImageError::NotAnImage { found })
}

/// Whether bytes start with a pattern, in which a dot stands for any byte and letters for either case.
fn starts(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.len() >= pattern.len() && bytes.iter().zip(pattern).all(|(b, p)| *p == b'.' || b.eq_ignore_ascii_case(p))
}

fn is_text(bytes: &[u8]) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // The last character may have been cut by the look at the first bytes alone.
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default(),
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_content() {
        for (bytes, expected) in [
            (&b"\xff\xd8\xff\xe0..."[..], "JPEG"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
            (b"<!DOCTYPE html><html>404", "not an image: it is an HTML page"),
            (b"\xef\xbb\xbf\n <HTML>", "not an image: it is an HTML page"),
            (b"{\"error\": 404}", "not an image: it is JSON text"),
            (b"Not found", "not an image: it is text"),
            ("未找到".as_bytes(), "not an image: it is text"),
            (b"RIFF\x10\0\0\0WAVEfmt ", "not an image: it starts with the bytes [52, 49, 46, 46]"),
            (&[0; 600], "not an image: it holds zeros"),
            (b"\0\0\0\x18ftypheic", "the format HEIC is not supported"),
            (b"<?xml version=\"1.0\"?>\n<svg>", "an SVG image is not supported"),
            (b"II*\0\x08", "the format TIFF is not supported"),
        ] {
            let found = match recognise(bytes) {
                Ok((_, name)) => name.to_owned(),
                Err(error) => error.to_string(),
            };
            assert!(found.starts_with(expected), "{found:?} is not {expected:?}");
        }
    }
}
