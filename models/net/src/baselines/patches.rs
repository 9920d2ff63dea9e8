//! Patches that a ResNet looks at one by one.

use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};

use super::resnet::ResNet;

/// How many pixels of a patch the ResNet sees. The papers do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchPixels {
    /// Those that it has.
    Native,
    /// As many on each side, made up between them (bilinear) where it has others.
    Resized(usize),
}

impl PatchPixels {
    /// The size that ResNets are trained at.
    pub const RESIZED: Self = Self::Resized(224);
}

/// Cuts images `[batch, channels, height, width]` into `side` x `side` equal patches, row by row: `[batch, side * side,
/// channels, pixels, pixels]`. What does not divide is left out at the right and at the bottom.
pub(super) fn cut(images: Tensor<4>, side: usize, pixels: PatchPixels) -> Tensor<5> {
    let [batch, channels, height, width] = images.dims();
    let (rows, columns) = (height / side, width / side);
    let patches = images
        .narrow(2, 0, rows * side)
        .narrow(3, 0, columns * side)
        .reshape([batch, channels, side, rows, side, columns])
        .permute([0, 2, 4, 1, 3, 5]);
    match pixels {
        PatchPixels::Resized(to) if [to, to] != [rows, columns] => {
            let patches = patches.reshape([batch * side * side, channels, rows, columns]);
            let options =
                InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false).with_output_size([to, to]);
            interpolate(patches, options).reshape([batch, side * side, channels, to, to])
        }
        _ => patches.reshape([batch, side * side, channels, rows, columns]),
    }
}

/// Feature vectors, `[batch, patches, features]`, of patches as [`cut`] gives them.
pub(super) fn features(resnet: &ResNet, patches: Tensor<5>) -> Tensor<3> {
    let [batch, count, ..] = patches.dims();
    let features = resnet.forward(patches.flatten::<4>(0, 1));
    let [_, width] = features.dims();
    features.reshape([batch, count, width])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// An image of 5 x 5 pixels, numbered row by row, in one channel.
    fn numbered() -> Tensor<4> {
        let pixels: Vec<f32> = (0..25u8).map(f32::from).collect();
        Tensor::from_data(TensorData::new(pixels, [1, 1, 5, 5]), &Device::flex())
    }

    fn values(patches: Tensor<5>) -> Vec<f32> {
        patches.into_data().iter::<f32>().collect()
    }

    #[test]
    fn patches_follow_each_other_row_by_row() {
        let patches = cut(numbered(), 2, PatchPixels::Native);
        assert_eq!(patches.dims(), [1, 4, 1, 2, 2]);
        let expected = [0, 1, 5, 6, 2, 3, 7, 8, 10, 11, 15, 16, 12, 13, 17, 18].map(|pixel| pixel as f32);
        assert_eq!(values(patches), expected);
    }

    #[test]
    fn resized_patches_keep_their_middle() {
        let patches = cut(numbered(), 1, PatchPixels::Resized(10));
        assert_eq!(patches.dims(), [1, 1, 1, 10, 10]);
        let mean = values(patches).iter().sum::<f32>() / 100.0;
        assert!((mean - 12.0).abs() < 1e-4, "{mean}");
        assert_eq!(cut(numbered(), 1, PatchPixels::Resized(5)).dims(), [1, 1, 1, 5, 5]);
    }
}
