//! Antialiased bicubic resampling in Pillow's own arithmetic: the same values to the bit, on every processor.
//!
//! General resizing libraries round coefficients further and order the two passes otherwise. The passes do not commute,
//! since each clips what bicubic overshoots to 0..=255: where an image of high contrast grows, the order changes values
//! by up to 18 levels.

use ::image::RgbImage;

/// Fraction bits of a coefficient.
const PRECISION: u32 = 32 - 8 - 2;

/// The filter reaches two source pixels either side, and further where it shrinks the image.
const SUPPORT: f64 = 2.0;

/// Resamples to `width` x `height` in two passes, along rows and along columns, to 8 bits after each. An image without
/// pixels becomes black.
pub(super) fn bicubic(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    if image.is_empty() {
        return RgbImage::new(width, height);
    }
    let rows = |image: &RgbImage| if image.width() == width { image.clone() } else { along_rows(image, width) };
    let columns =
        |image: &RgbImage| if image.height() == height { image.clone() } else { along_columns(image, height) };
    if columns_first(image.dimensions(), (width, height)) { rows(&columns(image)) } else { columns(&rows(image)) }
}

/// The order of the passes in Pillow 13: columns first where the height loses more than twice what the width loses.
/// Before 13, rows always came first.
fn columns_first(from: (u32, u32), to: (u32, u32)) -> bool {
    let lost = |from: u32, to: u32| i64::from(from.saturating_sub(to));
    lost(from.1, to.1) > 2 * lost(from.0, to.0)
}

fn along_rows(image: &RgbImage, width: u32) -> RgbImage {
    let windows = windows(image.width(), width);
    let mut output = RgbImage::new(width, image.height());
    // Four lanes a pixel are what processors multiply at once.
    let mut line = vec![[0i32; 4]; image.width() as usize];
    let (from, to) = (image.as_raw().chunks_exact(3 * line.len()), output.chunks_exact_mut(3 * width as usize));
    for (from, to) in from.zip(to) {
        for (lanes, pixel) in line.iter_mut().zip(from.chunks_exact(3)) {
            *lanes = [pixel[0].into(), pixel[1].into(), pixel[2].into(), 0];
        }
        for (pixel, window) in to.chunks_exact_mut(3).zip(&windows) {
            let mut sums = [HALF; 4];
            for (lanes, coefficient) in line[window.start..].iter().zip(&window.coefficients) {
                for (sum, level) in sums.iter_mut().zip(lanes) {
                    *sum += level * coefficient;
                }
            }
            for (level, sum) in pixel.iter_mut().zip(sums) {
                *level = clip(sum);
            }
        }
    }
    output
}

fn along_columns(image: &RgbImage, height: u32) -> RgbImage {
    let row = 3 * image.width() as usize;
    let mut output = RgbImage::new(image.width(), height);
    let mut sums = vec![HALF; row];
    for (to, window) in output.chunks_exact_mut(row).zip(windows(image.height(), height)) {
        sums.fill(HALF);
        for (from, coefficient) in image.as_raw()[window.start * row..].chunks_exact(row).zip(&window.coefficients) {
            for (sum, &level) in sums.iter_mut().zip(from) {
                *sum += i32::from(level) * coefficient;
            }
        }
        for (level, &sum) in to.iter_mut().zip(&sums) {
            *level = clip(sum);
        }
    }
    output
}

/// One half, so that the shift in [`clip`] rounds.
const HALF: i32 = 1 << (PRECISION - 1);

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// The source pixels an output pixel is made of.
struct Window {
    start: usize,
    /// Weights in fixed point; their sum is 1 but for rounding.
    coefficients: Vec<i32>,
}

fn windows(from: u32, to: u32) -> Vec<Window> {
    let scale = f64::from(from) / f64::from(to);
    let stretch = scale.max(1.0);
    let reach = SUPPORT * stretch;
    let window = |output: u32| {
        let centre = (f64::from(output) + 0.5) * scale;
        let start = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from as usize);
        let inverse = 1.0 / stretch;
        let weights: Vec<f64> = (start..end).map(|source| weight((source as f64 - centre + 0.5) * inverse)).collect();
        let sum: f64 = weights.iter().sum();
        let coefficients = weights.into_iter().map(|weight| {
            // Rounded half away from zero, as a cast after adding half is.
            (weight / sum * f64::from(1 << PRECISION)).round() as i32
        });
        Window { start, coefficients: coefficients.collect() }
    };
    (0..to).map(window).collect()
}

/// Keys' cubic convolution with a = -0.5.
fn weight(distance: f64) -> f64 {
    const A: f64 = -0.5;
    let x = distance.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_of_a_pixel_are_one() {
        for (from, to) in [(1, 32), (7, 5), (5, 7), (8192, 16), (100, 224)] {
            for window in windows(from, to) {
                let sum: i32 = window.coefficients.iter().sum();
                assert!((sum - (1 << PRECISION)).abs() <= window.coefficients.len() as i32, "{from} to {to}");
                assert!(window.start + window.coefficients.len() <= from as usize);
            }
        }
    }

    #[test]
    fn an_image_without_pixels_becomes_black() {
        for (width, height) in [(0, 0), (0, 5), (5, 0)] {
            assert_eq!(bicubic(&RgbImage::new(width, height), 2, 3), RgbImage::new(2, 3));
        }
    }

    #[test]
    fn one_colour_stays_one_colour() {
        let image = RgbImage::from_pixel(13, 7, ::image::Rgb([0, 137, 255]));
        for (width, height) in [(5, 5), (40, 3), (13, 90), (1, 1)] {
            assert!(bicubic(&image, width, height).pixels().all(|pixel| pixel.0 == [0, 137, 255]));
        }
    }
}
