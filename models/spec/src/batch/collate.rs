//! Rows to the tensors of the graph contract.

use crate::tensor::{NamedTensors, ShapeError, Tensor};
use crate::text::TextRow;

/// Names of the text inputs, in graph order.
const INPUT_IDS: &str = "input_ids";
const ATTENTION_MASK: &str = "attention_mask";
const TOKEN_TYPE_IDS: &str = "token_type_ids";

/// `input_ids`, `attention_mask` (1 for a token, 0 for padding) and `token_type_ids`, each int64 `[batch, text]`,
/// padded with 0 to the longest row.
pub fn collate_text(rows: &[&TextRow]) -> NamedTensors {
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let padded = |values: fn(&TextRow) -> Box<dyn Iterator<Item = i64> + '_>| {
        let mut data = vec![0; rows.len() * longest];
        for (row, line) in rows.iter().zip(data.chunks_exact_mut(longest.max(1))) {
            for (slot, value) in line.iter_mut().zip(values(row)) {
                *slot = value;
            }
        }
        Tensor::I64 { shape: vec![rows.len(), longest], data }
    };
    NamedTensors::from([
        (INPUT_IDS.to_owned(), padded(|row| Box::new(row.input_ids.iter().copied()))),
        (ATTENTION_MASK.to_owned(), padded(|row| Box::new(row.input_ids.iter().map(|_| 1)))),
        (TOKEN_TYPE_IDS.to_owned(), padded(|row| Box::new(row.token_type_ids.iter().copied()))),
    ])
}

/// `pixel_values` float32 `[batch, 3, height, width]` of images that were each made `[3, height, width]`.
///
/// # Errors
/// If an image has another number of values.
pub fn collate_pixels(images: &[&[f32]], height: usize, width: usize) -> Result<Tensor, ShapeError> {
    let values = 3 * height * width;
    let mut data = Vec::with_capacity(images.len() * values);
    for image in images {
        if image.len() != values {
            return Err(ShapeError::new(&[3, height, width], image.len()));
        }
        data.extend_from_slice(image);
    }
    Tensor::f32([images.len(), 3, height, width], data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ids: &[i64], segments: &[i64]) -> TextRow {
        TextRow { input_ids: ids.to_vec(), token_type_ids: segments.to_vec() }
    }

    #[test]
    fn shorter_rows_are_padded_and_masked() {
        let (long, short) = (row(&[2, 7, 3, 8, 3], &[0, 0, 0, 1, 1]), row(&[2, 3], &[0, 0]));
        let tensors = collate_text(&[&long, &short]);
        let values = |name: &str| tensors[name].as_i64().unwrap();
        assert_eq!(tensors.len(), 3);
        assert!(tensors.values().all(|tensor| tensor.shape() == [2, 5]));
        assert_eq!(values("input_ids"), [2, 7, 3, 8, 3, 2, 3, 0, 0, 0]);
        assert_eq!(values("attention_mask"), [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
        assert_eq!(values("token_type_ids"), [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn no_rows_make_empty_tensors() {
        assert!(collate_text(&[]).values().all(|tensor| tensor.shape() == [0, 0]));
        assert_eq!(collate_pixels(&[], 4, 4).unwrap().shape(), [0, 3, 4, 4]);
    }

    #[test]
    fn pixels_are_stacked_and_their_size_checked() {
        let (first, second) = (vec![1.0; 12], vec![2.0; 12]);
        let tensor = collate_pixels(&[&first, &second], 2, 2).unwrap();
        assert_eq!(tensor.shape(), [2, 3, 2, 2]);
        assert_eq!(tensor.as_f32().unwrap()[11..13], [1.0, 2.0]);
        let error = collate_pixels(&[&first, &second[1..]], 2, 2).unwrap_err();
        assert_eq!(error.to_string(), "a tensor of shape [3, 2, 2] takes 12 values, not 11");
    }
}
