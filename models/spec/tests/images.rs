//! Decoding over the files of `tests/fixtures/images`, and resizing against Pillow's results in `tests/golden/resize`.

use std::path::{Path, PathBuf};

use mbsd_spec::image::{MAX_FILE_BYTES, decode};
use mbsd_spec::{ImageError, Preprocessor, RgbImage};
use proptest::prelude::*;

/// Largest difference of a level from Pillow's, by what differs.
mod tolerance {
    /// No arithmetic is involved.
    pub(super) const LOSSLESS: u8 = 0;
    /// Blending over white and 16 bits to 8 round once, in either direction.
    pub(super) const ROUNDING: u8 = 1;
    /// JPEG and WebP leave the rounding of the cosine transform and of the colour conversion to the decoder.
    pub(super) const LOSSY: u8 = 4;
    /// Halved chroma is interpolated, which is left to the decoder too.
    pub(super) const SUBSAMPLED: u8 = 8;
}

fn folder(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests").join(below)
}

fn fixture(name: &str) -> Vec<u8> {
    let path = folder("fixtures/images").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn largest_difference(ours: &RgbImage, theirs: &RgbImage) -> u8 {
    assert_eq!(ours.dimensions(), theirs.dimensions());
    ours.as_raw().iter().zip(theirs.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

#[test]
fn every_kind_of_image_becomes_the_rgb_that_pillow_makes_of_it() {
    use tolerance::{LOSSLESS, LOSSY, ROUNDING, SUBSAMPLED};
    let mut wrong = Vec::new();
    for (name, tolerance) in [
        ("rgb.png", LOSSLESS),
        ("rotated.png", LOSSLESS),
        ("grey.png", LOSSLESS),
        ("bilevel.png", LOSSLESS),
        ("palette.png", LOSSLESS),
        ("palette_transparent.png", LOSSLESS),
        ("animated.png", LOSSLESS),
        ("palette.gif", LOSSLESS),
        ("transparent.gif", LOSSLESS),
        ("animated.gif", LOSSLESS),
        ("animated.webp", LOSSLESS),
        ("rgb.bmp", LOSSLESS),
        ("rgba.png", ROUNDING),
        ("grey_alpha.png", ROUNDING),
        ("lossless_alpha.webp", ROUNDING),
        ("rgb16.png", ROUNDING),
        ("grey16.png", ROUNDING),
        ("rgb.jpg", LOSSY),
        ("progressive.jpg", LOSSY),
        ("grey.jpg", LOSSY),
        ("rotated.jpg", LOSSY),
        ("cmyk.jpg", LOSSY),
        ("ycck.jpg", LOSSY),
        ("lossy.webp", SUBSAMPLED),
        ("subsampled.jpg", SUBSAMPLED),
    ] {
        let ours = decode(&fixture(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let theirs = decode(&fixture(&format!("expected/{name}.png"))).unwrap();
        let difference = largest_difference(&ours, &theirs);
        println!("{name}: differs by {difference} levels at most, {tolerance} allowed");
        if difference > tolerance {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?} differ by more than allowed");
}

#[test]
fn an_upright_picture_is_higher_than_wide_after_a_quarter_turn() {
    assert_eq!(decode(&fixture("rgb.jpg")).unwrap().dimensions(), (24, 16));
    assert_eq!(decode(&fixture("rotated.jpg")).unwrap().dimensions(), (16, 24));
}

#[test]
fn what_cannot_be_read_says_why() {
    for (name, code, message) in [
        ("zero_byte.jpg", "image_empty", "the image file is empty (0 bytes)"),
        ("html.jpg", "image_not_an_image", "not an image: it is an HTML page; JPEG, PNG, WebP, GIF and BMP are read"),
        (
            "picture.tiff",
            "image_unsupported",
            "the format TIFF is not supported; convert it to an ordinary JPEG or PNG",
        ),
        ("huge.png", "image_too_large", "50000 x 50000 pixels are over the limit of 8192 a side"),
        ("huge.jpg", "image_too_large", "50000 x 50000 pixels are over the limit of 8192 a side"),
        ("huge_progressive.jpg", "image_too_large", "a progressive JPEG of 5600 x 5600 pixels takes"),
        ("megapixels.png", "image_too_large", "8000 x 8000 pixels are over the limit of 32 megapixels"),
        ("memory.png", "image_too_large", "5000 x 5000 pixels take 190 MiB to decode, the limit is 128 MiB"),
        ("truncated.jpg", "image_truncated", "the JPEG file is cut off"),
        ("truncated_progressive.jpg", "image_truncated", "the JPEG file is cut off"),
        ("truncated.png", "image_truncated", "the PNG file is cut off"),
        ("truncated_lossy.webp", "image_truncated", "the WebP file is cut off"),
        ("truncated_lossless.webp", "image_truncated", "the WebP file is cut off"),
        ("truncated.gif", "image_truncated", "the GIF file is cut off"),
        ("truncated.bmp", "image_truncated", "the BMP file is cut off"),
        ("damaged.png", "image_damaged", "the PNG file is damaged"),
    ] {
        let error = decode(&fixture(name)).map(|_| ()).expect_err(name);
        assert!(error.to_string().contains(message), "{name}: {error}");
        assert_eq!(error.code(), code, "{name}");
    }
}

#[test]
fn a_file_over_the_limit_is_refused_unread() {
    let error = decode(&vec![0; MAX_FILE_BYTES + 1]).unwrap_err();
    assert_eq!(error.code(), "image_too_large");
    assert!(error.to_string().contains("20000001 bytes are over the limit of 20000000 for a file"), "{error}");
}

#[test]
fn a_jpeg_cut_anywhere_is_truncated() {
    for name in ["rgb.jpg", "progressive.jpg", "cmyk.jpg", "rotated.jpg"] {
        let whole = fixture(name);
        for end in 3..whole.len() {
            assert_eq!(decode(&whole[..end]), Err(ImageError::Truncated { format: "JPEG" }), "{name} cut at {end}");
        }
    }
}

#[test]
fn bytes_after_a_jpeg_do_not_matter() {
    let mut bytes = fixture("rgb.jpg");
    let alone = decode(&bytes).unwrap();
    bytes.extend_from_slice(b"\0\0 trailing bytes, as cameras and content networks leave them");
    assert_eq!(decode(&bytes).unwrap(), alone);
}

#[test]
fn resizing_gives_pillows_values() {
    let golden = folder("golden/resize");
    let mut pairs = 0;
    for entry in std::fs::read_dir(&golden).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = name.strip_suffix(".resized.png") else { continue };
        let source = decode(&std::fs::read(golden.join(format!("{name}.png"))).unwrap()).unwrap();
        let theirs = decode(&std::fs::read(&path).unwrap()).unwrap();
        let ours = preprocessor(theirs.height(), theirs.width()).resize(&source);
        assert_eq!(largest_difference(&ours, &theirs), tolerance::LOSSLESS, "{name}");
        pairs += 1;
    }
    assert_eq!(pairs, 11);
}

fn preprocessor(height: u32, width: u32) -> Preprocessor {
    let text = format!(
        r#"{{"size": {{"height": {height}, "width": {width}}}, "resample": 3, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}}"#
    );
    Preprocessor::from_json(&text).unwrap()
}

/// Small files of every format, to be mutated.
const SEEDS: [&str; 12] = [
    "rgb.jpg",
    "progressive.jpg",
    "cmyk.jpg",
    "rotated.jpg",
    "palette_transparent.png",
    "rgb16.png",
    "animated.png",
    "lossy.webp",
    "lossless_alpha.webp",
    "animated.webp",
    "animated.gif",
    "rgb.bmp",
];

proptest! {
    #[test]
    fn any_bytes_give_an_image_or_an_error(magic in 0usize..6, tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let magics: [&[u8]; 6] = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x01\x00\x00WEBP", b"GIF89a", b"BM"];
        let bytes = [magics[magic], &tail].concat();
        let _ = decode(&bytes);
    }

    #[test]
    fn changed_and_cut_files_give_an_image_or_an_error(
        seed in 0..SEEDS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = fixture(SEEDS[seed]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        if let Ok(image) = decode(&bytes) {
            prop_assert!(image.width() > 0 && image.height() > 0);
        }
    }
}
