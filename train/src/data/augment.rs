//! Training images: a part of the picture, and its mirror image.

use image::imageops::crop_imm;
use mbsd_spec::image::{Preprocessor, RgbImage};
use rand::{Rng, RngExt};

/// The most a cropped part's sides may differ from the picture's proportions, either way.
const MAX_STRETCH: f64 = 4.0 / 3.0;

/// What is done to the images of training batches. Colours stay: they are what many tags ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augmentation {
    /// Whether half of the images are mirrored.
    pub flip: bool,
    /// The smallest share of the picture's area that is kept; 1 keeps all.
    pub min_area: f64,
}

impl Augmentation {
    /// Normalised pixels of an image in the model's size, `[3, height, width]`.
    pub fn pixels(self, image: &RgbImage, preprocessor: &Preprocessor, random: &mut impl Rng) -> Vec<f32> {
        let mut pixels = if self.min_area < 1.0 {
            let (x, y, width, height) = part(image.width(), image.height(), self.min_area, random);
            let part = crop_imm(image, x, y, width, height).to_image();
            preprocessor.pixels(&preprocessor.resize(&part))
        } else {
            preprocessor.pixels(image)
        };
        if self.flip && random.random_bool(0.5) {
            pixels.chunks_exact_mut(preprocessor.width()).for_each(<[f32]>::reverse);
        }
        pixels
    }
}

/// A random part, `(x, y, width, height)`, of at least `min_area` of the whole.
fn part(width: u32, height: u32, min_area: f64, random: &mut impl Rng) -> (u32, u32, u32, u32) {
    let area: f64 = random.random_range(min_area..=1.0);
    let stretch = MAX_STRETCH.ln();
    let stretch = random.random_range(-stretch..=stretch).exp().sqrt();
    let side = |full: u32, share: f64| ((f64::from(full) * share).round() as u32).clamp(1, full);
    let (w, h) = (side(width, area.sqrt() * stretch), side(height, area.sqrt() / stretch));
    (random.random_range(0..=width - w), random.random_range(0..=height - h), w, h)
}

#[cfg(test)]
mod tests {
    use mbsd_spec::Config;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn parts_lie_inside_and_differ() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let parts: Vec<_> = (0..500).map(|_| part(60, 80, 0.6, &mut random)).collect();
        for &(x, y, w, h) in &parts {
            assert!(w > 0 && h > 0 && x + w <= 60 && y + h <= 80);
            assert!(
                f64::from(w * h) > 0.5 * 4800.0,
                "{w} x {h}: a part stretched beyond the picture loses a little more"
            );
        }
        assert!(parts.iter().any(|part| part.2 < 50) && parts.iter().any(|part| part.3 < 65));
        assert!(parts.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn half_of_the_images_are_mirrored_and_a_seed_decides_which() {
        let preprocessor = Preprocessor::new(&Config { image_size: 32, ..Config::base() });
        let image = RgbImage::from_fn(32, 32, |x, _| image::Rgb([8 * x as u8; 3]));
        let plain = preprocessor.pixels(&image);
        let augmentation = Augmentation { flip: true, min_area: 1.0 };
        let draw = |seed| augmentation.pixels(&image, &preprocessor, &mut ChaCha8Rng::seed_from_u64(seed));
        let mirrored = (0..200).filter(|&seed| draw(seed) != plain).count();
        assert!((70..130).contains(&mirrored), "{mirrored} of 200");
        assert_eq!(draw(7), draw(7));
        let reversed: Vec<f32> = plain.chunks_exact(32).flat_map(|row| row.iter().rev().copied()).collect();
        assert!((0..200).all(|seed| [&plain, &reversed].contains(&&draw(seed))));
    }
}
