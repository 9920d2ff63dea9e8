//! A walk over a JPEG's markers, before its decoder sees it. The decoder fills what is missing from a cut file with
//! grey and allocates a progressive image's coefficients without asking: both are found here.

use super::decode::{MAX_ALLOC_BYTES, MAX_JPEG_SCANS, check_size};
use super::error::ImageError;

const FORMAT: &str = "JPEG";
const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// Checks that the file holds a whole image of a supported kind within the limits.
pub(super) fn check(bytes: &[u8]) -> Result<(), ImageError> {
    let mut rest = Reader { bytes, at: 2 };
    let mut frame_seen = false;
    let mut scans = 0;
    loop {
        match rest.marker()? {
            END_OF_IMAGE if frame_seen && scans > 0 => return Ok(()),
            END_OF_IMAGE => return Err(damaged("it ends without a picture")),
            0x01 | 0xd0..=0xd8 => {}
            marker @ 0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                frame(marker, rest.segment()?)?;
                frame_seen = true;
            }
            START_OF_SCAN => {
                rest.segment()?;
                scans += 1;
                if scans > MAX_JPEG_SCANS {
                    return Err(ImageError::Unsupported { what: format!("a JPEG of over {MAX_JPEG_SCANS} scans") });
                }
            }
            _ => {
                rest.segment()?;
            }
        }
    }
}

fn damaged(reason: &str) -> ImageError {
    ImageError::Damaged { format: FORMAT, reason: reason.to_owned() }
}

/// Checks a frame header: `precision, height, width, components, (id, sampling, table) per component`.
fn frame(marker: u8, header: &[u8]) -> Result<(), ImageError> {
    let kind = match marker {
        0xc0..=0xc2 => None,
        0xc3 => Some("lossless"),
        0xc9..=0xcb => Some("arithmetic-coded"),
        _ => Some("hierarchical"),
    };
    if let Some(kind) = kind {
        return Err(ImageError::Unsupported { what: format!("{kind} JPEG") });
    }
    let [precision, h1, h0, w1, w0, components, sampling @ ..] = header else {
        return Err(damaged("its frame header is too short"));
    };
    if *precision != 8 {
        return Err(ImageError::Unsupported { what: format!("{precision}-bit JPEG") });
    }
    let (height, width) = (u16::from_be_bytes([*h1, *h0]), u16::from_be_bytes([*w1, *w0]));
    check_size(FORMAT, width.into(), height.into())?;
    if marker != 0xc2 {
        return Ok(());
    }
    let factors = || sampling.chunks_exact(3).take((*components).into()).map(|c| (u64::from(c[1] >> 4), c[1] & 0xf));
    let across = factors().map(|(h, _)| h).max().unwrap_or(1).max(1);
    let down = factors().map(|(_, v)| u64::from(v)).max().unwrap_or(1).max(1);
    let units = u64::from(width).div_ceil(8 * across) * u64::from(height).div_ceil(8 * down);
    let blocks: u64 = factors().map(|(h, v)| h * u64::from(v)).sum::<u64>() * units;
    let needed = blocks * 128 + u64::from(width) * u64::from(height) * 3;
    if needed > MAX_ALLOC_BYTES {
        let what = format!(
            "a progressive JPEG of {width} x {height} pixels takes {} MiB to decode, the limit is {} MiB",
            needed >> 20,
            MAX_ALLOC_BYTES >> 20
        );
        return Err(ImageError::TooLarge { what });
    }
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next marker's code; steps over compressed data, fill bytes and stray bytes on the way.
    fn marker(&mut self) -> Result<u8, ImageError> {
        loop {
            match self.bytes.get(self.at..self.at + 2) {
                None => return Err(ImageError::Truncated { format: FORMAT }),
                Some(&[0xff, code]) if !matches!(code, 0x00 | 0xff) => {
                    self.at += 2;
                    return Ok(code);
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// The contents of the segment that starts here with its length.
    fn segment(&mut self) -> Result<&'a [u8], ImageError> {
        let cut = || ImageError::Truncated { format: FORMAT };
        let length = self.bytes.get(self.at..self.at + 2).ok_or_else(cut)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if length < 2 {
            return Err(damaged("a segment has an impossible length"));
        }
        let contents = self.bytes.get(self.at + 2..self.at + length).ok_or_else(cut)?;
        self.at += length;
        Ok(contents)
    }
}
