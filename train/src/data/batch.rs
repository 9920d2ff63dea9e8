//! Batches on the host, and on the device.

use burn::tensor::{Device, Int, Tensor, TensorData};
use mbsd_net::{ImageInput, TagInput, TextInput, TitleInput};
use mbsd_spec::text::TextRow;

use super::masking::Hidden;

/// A batch in memory, row-major. Where rows compare two products (alignment), the first products of all rows come before
/// the second ones. Under one-way attention rows of a product that lie side by side share it.
#[derive(Debug, Clone, Default)]
pub struct HostBatch {
    /// Ids of the products, for messages.
    pub products: Vec<String>,
    /// Where each row stands in the plan.
    pub positions: Vec<usize>,
    /// Labels, as in [`super::Row`].
    pub labels: Vec<u32>,
    /// Token ids, mask and segments, `[products, longest]` each.
    pub text: Option<HostText>,
    /// The same of the queries alone.
    pub queries: Option<HostText>,
    /// Tags or queries apart from the products, whose `text` is then the title alone.
    pub tags: Option<HostTags>,
    /// Pixels, `[products, 3, height, width]`.
    pub pixels: Option<Vec<f32>>,
    /// 1 for a product with an image; `None` where all have one.
    pub present: Option<Vec<f32>>,
    /// For each row, 1 if its product has a title and 0 if not, and the same of an image; `None` where all have both.
    pub row_modalities: Option<[Vec<f32>; 2]>,
    /// What stage 1 hides.
    pub hidden: Option<Hidden>,
    /// The same rows as a teacher reads them, with all that their products have.
    pub teacher: Option<Box<HostBatch>>,
    pub(super) side: usize,
}

/// The text of a batch.
#[derive(Debug, Clone, Default)]
pub struct HostText {
    pub(super) input_ids: Vec<i64>,
    pub(super) attention_mask: Option<Vec<i64>>,
    pub(super) token_type_ids: Vec<i64>,
    pub(super) longest: usize,
}

/// The tags of each product of a batch, as many for each, the missing ones empty.
#[derive(Debug, Clone, Default)]
pub struct HostTags {
    /// `[products, most, text]`.
    pub(super) ids: Vec<i64>,
    /// The same; 1 for a token.
    pub(super) mask: Vec<i64>,
    /// Tags of the product that has the most.
    pub(super) most: usize,
    /// Tokens of the longest.
    pub(super) text: usize,
    /// For each row of the batch, its tag among `products * most`.
    pub(super) places: Vec<i64>,
    /// Where titles begin.
    pub(super) title_position: usize,
}

/// Products and their tags on the device, apart.
#[derive(Debug, Clone)]
pub struct Apart {
    /// Titles, if the batch has any.
    pub title: Option<TitleInput>,
    /// Images, if the batch has any.
    pub image: Option<ImageInput>,
    /// Tags, `[products, most, text]`.
    pub tags: TagInput,
    /// For each row of the batch, its tag among `products * most`.
    pub places: Tensor<1, Int>,
    /// Where titles begin.
    pub title_position: usize,
}

/// Labels on the device.
#[derive(Debug, Clone)]
pub enum Targets {
    /// 0 or 1, `[batch]`.
    Binary(Tensor<1>),
    /// Classes, `[batch]`.
    Classes(Tensor<1, Int>),
}

impl HostText {
    pub(super) fn new(rows: &[TextRow]) -> Self {
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

    /// Hides rows: where there is no title, its `[SEP]` says nothing either.
    pub(super) fn hide(&mut self, rows: impl Iterator<Item = bool>) {
        for (row, hidden) in rows.enumerate().filter(|(_, hidden)| *hidden) {
            let all = vec![1; self.input_ids.len()];
            let mask = self.attention_mask.get_or_insert(all);
            mask[row * self.longest..(row + 1) * self.longest].fill(i64::from(!hidden));
        }
    }

    /// Tokens of the longest row, which all others are padded to.
    pub fn longest(&self) -> usize {
        self.longest
    }

    fn into_input(self, rows: usize, device: &Device) -> TextInput {
        let tensor = |values| Tensor::from_data(TensorData::new(values, [rows, self.longest]), device);
        TextInput {
            input_ids: tensor(self.input_ids),
            attention_mask: self.attention_mask.map(tensor),
            token_type_ids: Some(tensor(self.token_type_ids)),
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
        let (rows, side) = (self.products.len(), self.side);
        let text = self.text.take().map(|text| text.into_input(rows, device));
        let image = self.pixels.take().map(|pixels| ImageInput {
            pixel_values: Tensor::from_data(TensorData::new(pixels, [rows, 3, side, side]), device),
            present: self.present.take().map(|present| Tensor::from_data(TensorData::new(present, [rows]), device)),
        });
        (text, image)
    }

    /// Products and tags apart, moved out of the batch; `None` where they are one sequence.
    pub fn take_apart(&mut self, device: &Device) -> Option<Apart> {
        let HostTags { ids, mask, most, text, places, title_position } = self.tags.take()?;
        let products = self.products.len();
        let (title, image) = self.take_inputs(device);
        let tensor = |values| Tensor::from_data(TensorData::new(values, [products, most, text]), device);
        let tag_mask = mask.contains(&0).then(|| tensor(mask));
        let rows = places.len();
        Some(Apart {
            title: title.map(|TextInput { input_ids, attention_mask, .. }| TitleInput { input_ids, attention_mask }),
            image,
            tags: TagInput { tag_ids: tensor(ids), tag_mask },
            places: Tensor::from_data(TensorData::new(places, [rows]), device),
            title_position,
        })
    }

    /// The queries alone, moved out of the batch. They are one segment.
    pub fn take_queries(&mut self, device: &Device) -> Option<TextInput> {
        let rows = self.products.len();
        self.queries.take().map(|queries| TextInput { token_type_ids: None, ..queries.into_input(rows, device) })
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
