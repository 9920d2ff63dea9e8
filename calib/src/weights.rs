//! 8-bit weights: symmetric, a scale for each output.

use tract_onnx::pb::tensor_proto::DataType;

use crate::error::CalibError;
use crate::graph::{OnnxGraph, Weight};

/// How many bits a weight may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightBits {
    /// -64 to 64. Two products with an unsigned byte then always fit 16 bits, `2 * 255 * 64 < 2^15`: on x86 machines without
    /// VNNI nothing can overflow, whatever program runs the graph.
    Seven,
    /// -127 to 127.
    #[default]
    Eight,
}

impl WeightBits {
    /// The largest magnitude.
    pub fn limit(self) -> i8 {
        match self {
            Self::Seven => 64,
            Self::Eight => 127,
        }
    }

    /// The number, for reports.
    pub fn bits(self) -> u8 {
        match self {
            Self::Seven => 7,
            Self::Eight => 8,
        }
    }
}

/// A weight in 8 bits: `value = quantized * scales[index along axis]`.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedWeight {
    /// The weight's name.
    pub name: String,
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// Bytes, row-major.
    pub values: Vec<i8>,
    /// The axis that has a scale for each index.
    pub axis: usize,
    /// The scales.
    pub scales: Vec<f32>,
}

impl QuantizedWeight {
    /// Quantizes a weight with a scale for each index of `axis`: the largest magnitude there through the limit of the bits.
    /// Where all values are 0 the scale is 1.
    ///
    /// # Errors
    /// If the weight has no such axis.
    pub fn new(weight: &Weight, axis: usize, bits: WeightBits) -> Result<Self, CalibError> {
        let Weight { name, shape, values } = weight;
        let Some(&extent) = shape.get(axis) else {
            let reason = format!("has no axis {axis} in shape {shape:?}");
            return Err(CalibError::Weight { name: name.clone(), reason });
        };
        let inner: usize = shape[axis + 1..].iter().product();
        let index = |position: usize| position / inner.max(1) % extent.max(1);
        let limit = f32::from(bits.limit());
        let mut largest = vec![0f32; extent];
        for (position, value) in values.iter().enumerate() {
            let slot = &mut largest[index(position)];
            *slot = slot.max(value.abs());
        }
        let scale = |largest: &f32| if *largest > 0.0 { (largest / limit).max(f32::MIN_POSITIVE) } else { 1.0 };
        let scales: Vec<f32> = largest.iter().map(scale).collect();
        let quantize = |(position, value): (usize, &f32)| {
            (value / scales[index(position)]).round_ties_even().clamp(-limit, limit) as i8
        };
        let values = values.iter().enumerate().map(quantize).collect();
        Ok(Self { name: name.clone(), shape: shape.clone(), values, axis, scales })
    }

    /// The bytes as a file has them.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.values.iter().map(|value| value.to_le_bytes()[0]).collect()
    }
}

/// Adds a quantized weight and its scales; returns their names.
pub(crate) fn store(graph: &mut OnnxGraph, weight: &QuantizedWeight) -> [String; 2] {
    let bytes = graph.constant(format!("{}.int8", weight.name), DataType::Int8, &weight.shape, weight.bytes());
    let scales = graph.floats(format!("{}.scales", weight.name), &[weight.scales.len()], &weight.scales);
    [bytes, scales]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weight(shape: [usize; 2], values: Vec<f32>) -> Weight {
        Weight { name: "w".to_owned(), shape: shape.to_vec(), values }
    }

    #[test]
    fn every_output_has_its_own_scale() {
        let weight = weight([2, 3], vec![1.0, -200.0, 0.0, -0.5, 100.0, 0.0]);
        let columns = QuantizedWeight::new(&weight, 1, WeightBits::Eight).unwrap();
        assert_eq!(columns.scales, [1.0 / 127.0, 200.0 / 127.0, 1.0]);
        assert_eq!(columns.values, [127, -127, 0, -64, 64, 0], "-63.5 and 63.5 go to the even neighbour");
        let rows = QuantizedWeight::new(&weight, 0, WeightBits::Seven).unwrap();
        assert_eq!(rows.scales, [200.0 / 64.0, 100.0 / 64.0]);
        assert_eq!(rows.values, [0, -64, 0, 0, 64, 0]);
        assert!(QuantizedWeight::new(&weight, 2, WeightBits::Eight).is_err());
    }

    #[test]
    fn two_products_of_seven_bits_fit_sixteen() {
        let worst = 2 * i32::from(u8::MAX) * i32::from(WeightBits::Seven.limit());
        assert!(worst <= i32::from(i16::MAX));
        assert!(2 * i32::from(u8::MAX) * i32::from(WeightBits::Eight.limit()) > i32::from(i16::MAX));
    }

    proptest! {
        #[test]
        fn a_value_comes_back_within_half_a_step(values in prop::collection::vec(-1e3f32..1e3, 12)) {
            let weight = weight([4, 3], values);
            let quantized = QuantizedWeight::new(&weight, 1, WeightBits::Eight).unwrap();
            for (position, value) in weight.values.iter().enumerate() {
                let scale = quantized.scales[position % 3];
                let back = f32::from(quantized.values[position]) * scale;
                prop_assert!((back - value).abs() <= scale * 0.5001);
            }
        }
    }
}
