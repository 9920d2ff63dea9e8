//! Batches on the host, and on the device.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use mbsd_net::{ImageInput, TextInput};
use mbsd_spec::Variant;
use mbsd_spec::image::Preprocessor;
use mbsd_spec::text::{TextRow, Tokenizer};
use rayon::prelude::*;

use super::{BatchPlan, Corpus, Row, TagSet};

/// What turns plans into batches; shared by threads.
#[derive(Debug, Clone)]
pub struct Assembler {
    /// The products.
    pub corpus: Arc<Corpus>,
    /// The tags of match rows.
    pub tags: Option<Arc<TagSet>>,
    /// Text to rows.
    pub tokenizer: Arc<Tokenizer>,
    /// Images to pixels.
    pub preprocessor: Preprocessor,
    /// Tokens of a row.
    pub max_tokens: usize,
}

/// A batch in memory, row-major.
#[derive(Debug, Clone, Default)]
pub struct HostBatch {
    /// Ids of the products, for messages.
    pub products: Vec<String>,
    /// Where each row stands in the plan.
    pub positions: Vec<usize>,
    /// Labels, as in [`Row`].
    pub labels: Vec<u32>,
    /// Token ids, mask and segments, `[rows, longest]` each; empty without text.
    pub text: Option<HostText>,
    /// Pixels, `[rows, 3, height, width]`.
    pub pixels: Option<Vec<f32>>,
    /// 1 for a row with an image; `None` where all have one.
    pub present: Option<Vec<f32>>,
    side: usize,
}

/// The text of a batch.
#[derive(Debug, Clone, Default)]
pub struct HostText {
    input_ids: Vec<i64>,
    attention_mask: Option<Vec<i64>>,
    token_type_ids: Vec<i64>,
    longest: usize,
}

/// Labels on the device.
#[derive(Debug, Clone)]
pub enum Targets {
    /// 0 or 1, `[batch]`.
    Binary(Tensor<1>),
    /// Classes, `[batch]`.
    Classes(Tensor<1, Int>),
}

impl Assembler {
    /// Tokens of a row when its batch has titles.
    pub fn length(&self, row: &Row) -> usize {
        let tag = row.tag.map_or(0, |tag| self.tags.as_ref().map_or(0, |tags| tags.ids[tag as usize].len() + 1));
        tag + self.corpus.items[row.item].title.len() + 2
    }

    /// Whether a product has what a variant needs.
    fn usable(&self, row: &Row, variant: Variant) -> bool {
        let item = &self.corpus.items[row.item];
        match variant {
            Variant::Image => item.picture.is_some(),
            Variant::Text => !item.title.is_empty() || row.tag.is_some(),
            Variant::Full | Variant::Pair => true,
        }
    }

    /// Rows of a plan that cannot be made in its variant are left out; the batch may be empty.
    ///
    /// # Errors
    /// What is wrong with a row whose tag does not fit or whose image can no longer be read.
    pub fn assemble(&self, plan: &BatchPlan) -> Result<HostBatch, String> {
        let rows: Vec<(usize, &Row)> =
            plan.rows.iter().enumerate().filter(|(_, row)| self.usable(row, plan.variant)).collect();
        let item = |row: &Row| &self.corpus.items[row.item];
        let named = |row: &Row, error: String| format!("product {}: {error}", item(row).id);
        let mut batch = HostBatch {
            products: rows.iter().map(|(_, row)| item(row).id.clone()).collect(),
            positions: rows.iter().map(|&(position, _)| position).collect(),
            labels: rows.iter().map(|(_, row)| row.label).collect(),
            side: self.preprocessor.width(),
            ..HostBatch::default()
        };
        let has_title = plan.variant != Variant::Image;
        if has_title || self.tags.is_some() {
            let texts = rows
                .iter()
                .map(|(_, row)| self.text(row, has_title).map_err(|error| named(row, error)))
                .collect::<Result<Vec<_>, _>>()?;
            batch.text = Some(HostText::new(&texts));
        }
        if plan.variant != Variant::Text {
            let values = 3 * self.preprocessor.width() * self.preprocessor.height();
            let mut pixels = vec![0.0; rows.len() * values];
            pixels.par_chunks_mut(values).zip(&rows).try_for_each(|(slot, (index, row))| {
                let Some(picture) = &item(row).picture else { return Ok(()) };
                slot.copy_from_slice(&picture.pixels(&self.preprocessor).map_err(|error| named(row, error))?);
                if plan.mirrored.get(*index).copied().unwrap_or(false) {
                    slot.chunks_exact_mut(self.preprocessor.width()).for_each(<[f32]>::reverse);
                }
                Ok::<(), String>(())
            })?;
            batch.pixels = Some(pixels);
            if rows.iter().any(|(_, row)| item(row).picture.is_none()) {
                let present = rows.iter().map(|(_, row)| f32::from(u8::from(item(row).picture.is_some())));
                batch.present = Some(present.collect());
            }
        }
        Ok(batch)
    }

    fn text(&self, row: &Row, has_title: bool) -> Result<TextRow, String> {
        let title = &self.corpus.items[row.item].title;
        match (row.tag, &self.tags) {
            (Some(tag), Some(tags)) => {
                let title = (has_title && !title.is_empty()).then_some(title);
                let row = self.tokenizer.pair_row(&tags.ids[tag as usize], title, self.max_tokens);
                row.map_err(|error| error.to_string())
            }
            _ => Ok(self.tokenizer.title_row(title, self.max_tokens)),
        }
    }
}

impl HostText {
    fn new(rows: &[TextRow]) -> Self {
        let longest = rows.iter().map(TextRow::len).max().unwrap_or(0);
        let padded = |values: &dyn Fn(&TextRow) -> Vec<i64>| -> Vec<i64> {
            rows.iter()
                .flat_map(|row| {
                    let mut values = values(row);
                    values.resize(longest, 0);
                    values
                })
                .collect()
        };
        // Without padding there is nothing to mask, and attention is spared an addition.
        let attention_mask = rows.iter().any(|row| row.len() < longest).then(|| padded(&|row| vec![1; row.len()]));
        Self {
            input_ids: padded(&|row| row.input_ids.clone()),
            attention_mask,
            token_type_ids: padded(&|row| row.token_type_ids.clone()),
            longest,
        }
    }
}

impl HostBatch {
    /// Rows of the batch.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The model's inputs, moved out of the batch.
    pub fn take_inputs(&mut self, device: &Device) -> (Option<TextInput>, Option<ImageInput>) {
        let (rows, side) = (self.rows(), self.side);
        let text = self.text.take().map(|text| {
            let tensor = |values| Tensor::from_data(TensorData::new(values, [rows, text.longest]), device);
            TextInput {
                input_ids: tensor(text.input_ids),
                attention_mask: text.attention_mask.map(tensor),
                token_type_ids: Some(tensor(text.token_type_ids)),
            }
        });
        let image = self.pixels.take().map(|pixels| ImageInput {
            pixel_values: Tensor::from_data(TensorData::new(pixels, [rows, 3, side, side]), device),
            present: self.present.take().map(|present| Tensor::from_data(TensorData::new(present, [rows]), device)),
        });
        (text, image)
    }

    /// The labels.
    pub fn targets(&self, binary: bool, device: &Device) -> Targets {
        let rows = [self.rows()];
        if binary {
            let labels: Vec<f32> = self.labels.iter().map(|&label| label as f32).collect();
            Targets::Binary(Tensor::from_data(TensorData::new(labels, rows), device))
        } else {
            let labels: Vec<i64> = self.labels.iter().map(|&label| i64::from(label)).collect();
            Targets::Classes(Tensor::from_data(TensorData::new(labels, rows), device))
        }
    }
}

#[cfg(test)]
mod tests {
    use mbsd_spec::image::RgbImage;

    use super::super::corpus::Picture;
    use super::super::{Item, TagSet};
    use super::*;

    const SIDE: usize = 32;

    fn assembler() -> Assembler {
        let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "wool", "hat"];
        let tokenizer = Tokenizer::from_vocab(words, true).unwrap();
        let picture = RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, _| image::Rgb([8 * x as u8; 3]));
        let item = |id: &str, title: &str, picture: Option<Picture>| Item {
            id: id.to_owned(),
            title: tokenizer.encode(title),
            picture,
            values: Vec::new(),
        };
        let picture = Some(Picture::Resized(picture));
        let items = vec![item("a", "wool hat", picture.clone()), item("b", "hat", picture), item("c", "hat", None)];
        let config = mbsd_spec::Config { image_size: SIDE, ..mbsd_spec::Config::base() };
        Assembler {
            corpus: Arc::new(Corpus::of_items(items)),
            tags: Some(Arc::new(TagSet::new(vec!["red".to_owned()], &tokenizer))),
            preprocessor: Preprocessor::new(&config),
            tokenizer: Arc::new(tokenizer),
            max_tokens: 16,
        }
    }

    fn batch(items: &[usize], variant: Variant) -> HostBatch {
        let rows = items.iter().map(|&item| Row { item, tag: Some(0), label: 1 }).collect();
        assembler().assemble(&BatchPlan { rows, variant, mirrored: vec![true; items.len()] }).unwrap()
    }

    #[test]
    fn a_variant_decides_what_a_batch_holds() {
        let full = batch(&[0, 1], Variant::Full);
        let text = full.text.unwrap();
        assert_eq!(text.input_ids, [2, 5, 3, 6, 7, 3, 2, 5, 3, 7, 3, 0]);
        assert_eq!(text.token_type_ids, [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 0]);
        assert_eq!(text.attention_mask.unwrap(), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
        assert_eq!(full.present, None);

        let image = batch(&[0, 1], Variant::Image).text.unwrap();
        assert_eq!(image.input_ids, [2, 5, 3, 2, 5, 3], "the tag stays, the title goes");
        assert_eq!(image.attention_mask, None, "nothing is padded");
        assert!(batch(&[0], Variant::Text).pixels.is_none());
    }

    #[test]
    fn a_product_without_an_image_is_marked_or_left_out() {
        let full = batch(&[2, 1], Variant::Full);
        assert_eq!(full.present, Some(vec![0.0, 1.0]));
        let image = batch(&[2, 1], Variant::Image);
        assert_eq!((image.products, image.positions, image.present), (vec!["b".to_owned()], vec![1], None));
    }

    #[test]
    fn a_mirrored_image_runs_from_right_to_left() {
        let mirrored = batch(&[0], Variant::Full).pixels.unwrap();
        let plain = assembler().corpus.items[0].picture.clone().unwrap().pixels(&assembler().preprocessor).unwrap();
        for (mirrored, plain) in mirrored.chunks_exact(SIDE).zip(plain.chunks_exact(SIDE)) {
            assert!(mirrored.iter().eq(plain.iter().rev()));
        }
        assert!(plain[0] < plain[SIDE - 1]);
    }
}
