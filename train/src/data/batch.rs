//! Batches on the host, and on the device.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use mbsd_net::{ImageInput, TagInput, TextInput, TitleInput};
use mbsd_spec::Variant;
use mbsd_spec::image::Preprocessor;
use mbsd_spec::text::{TextIds, TextRow, Tokenizer};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::masking::Hidden;
use super::{Augmentation, BatchPlan, Corpus, Masking, Row, TagSet};

/// What a batch holds besides text and pixels.
#[derive(Debug, Clone)]
pub enum Extra {
    /// Nothing.
    Nothing,
    /// The queries by themselves, for the input without titles (stage 2).
    Queries,
    /// Tokens and patches to predict (stage 1).
    Masking(Masking),
}

/// What turns plans into batches; shared by threads.
#[derive(Debug, Clone)]
pub struct Assembler {
    /// The products.
    pub corpus: Arc<Corpus>,
    /// The tags or queries of rows that have one.
    pub tags: Option<Arc<TagSet>>,
    /// Text to rows.
    pub tokenizer: Arc<Tokenizer>,
    /// Images to pixels.
    pub preprocessor: Preprocessor,
    /// Tokens of a row.
    pub max_tokens: usize,
    /// Where titles begin, if products are read apart from their tags (one-way attention).
    pub title_position: Option<usize>,
    /// What is done to the images of augmented batches.
    pub augmentation: Augmentation,
    /// What else a batch holds.
    pub extra: Extra,
}

/// A batch in memory, row-major. Where rows compare two products (alignment), the first products of all rows come before
/// the second ones. Under one-way attention rows of a product that lie side by side share it.
#[derive(Debug, Clone, Default)]
pub struct HostBatch {
    /// Ids of the products, for messages.
    pub products: Vec<String>,
    /// Where each row stands in the plan.
    pub positions: Vec<usize>,
    /// Labels, as in [`Row`].
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
    /// What stage 1 hides.
    pub hidden: Option<Hidden>,
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

impl Assembler {
    /// Tokens of a row when its batch has titles.
    pub fn length(&self, row: &Row) -> usize {
        let tag = row.tag.map_or(0, |tag| self.tags.as_ref().map_or(0, |tags| tags.ids[tag as usize].len() + 1));
        let title = |item: usize| self.corpus.items[item].title.len() + 2;
        tag + title(row.item).max(row.other.map_or(0, title))
    }

    /// Whether the products of a row have what a variant needs.
    fn usable(&self, row: &Row, variant: Variant) -> bool {
        let usable = |item: usize| {
            let item = &self.corpus.items[item];
            match variant {
                Variant::Image => item.picture.is_some(),
                Variant::Text => !item.title.is_empty() || row.tag.is_some(),
                _ => true,
            }
        };
        usable(row.item) && row.other.is_none_or(usable)
    }

    /// Rows of a plan that cannot be made in its variant are left out; the batch may be empty.
    ///
    /// # Errors
    /// What is wrong with a row whose tag does not fit or whose image can no longer be read.
    pub fn assemble(&self, plan: &BatchPlan) -> Result<HostBatch, String> {
        let rows: Vec<(usize, &Row)> =
            plan.rows.iter().enumerate().filter(|(_, row)| self.usable(row, plan.variant)).collect();
        if let Some(title_position) = self.title_position {
            return self.assemble_apart(plan, &rows, title_position);
        }
        let first = rows.iter().map(|(_, row)| (row.item, row.tag));
        let products: Vec<(usize, Option<u32>)> =
            first.chain(rows.iter().filter_map(|(_, row)| Some((row.other?, None)))).collect();
        let item = |product: usize| &self.corpus.items[product];
        let mut batch = HostBatch {
            products: products.iter().map(|&(product, _)| item(product).id.clone()).collect(),
            positions: rows.iter().map(|&(position, _)| position).collect(),
            labels: rows.iter().map(|(_, row)| row.label).collect(),
            side: self.preprocessor.width(),
            ..HostBatch::default()
        };
        let has_title = plan.variant != Variant::Image;
        let mut texts = if has_title || self.tags.is_some() { self.texts(&products, has_title)? } else { Vec::new() };
        let has_image: Vec<bool> = products.iter().map(|&(product, _)| item(product).picture.is_some()).collect();
        match &self.extra {
            Extra::Nothing => {}
            Extra::Queries => batch.queries = Some(HostText::new(&self.texts(&products, false)?)),
            Extra::Masking(masking) => {
                let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
                batch.hidden = Some(masking.hide(&mut texts, &has_image, &mut random));
            }
        }
        if !texts.is_empty() {
            batch.text = Some(HostText::new(&texts));
        }
        if plan.variant != Variant::Text {
            self.put_images(&mut batch, &products, plan)?;
        }
        Ok(batch)
    }

    /// The batch with products and tags apart.
    fn assemble_apart(
        &self,
        plan: &BatchPlan,
        rows: &[(usize, &Row)],
        title_position: usize,
    ) -> Result<HostBatch, String> {
        let shared: Vec<&[(usize, &Row)]> = rows.chunk_by(|(_, a), (_, b)| a.item == b.item).collect();
        let products: Vec<(usize, Option<u32>)> = shared.iter().map(|rows| (rows[0].1.item, None)).collect();
        let item = |&(product, _): &(usize, Option<u32>)| &self.corpus.items[product];
        let mut batch = HostBatch {
            products: products.iter().map(|product| item(product).id.clone()).collect(),
            positions: rows.iter().map(|&(position, _)| position).collect(),
            labels: rows.iter().map(|(_, row)| row.label).collect(),
            side: self.preprocessor.width(),
            ..HostBatch::default()
        };
        if plan.variant != Variant::Image {
            let room = self.max_tokens.saturating_sub(title_position);
            let title = |product| self.tokenizer.context_row(&item(product).title, room);
            let mut text = HostText::new(&products.iter().map(title).collect::<Vec<_>>());
            text.hide(products.iter().map(|product| item(product).title.is_empty()));
            batch.text = Some(text);
        }
        if plan.variant != Variant::Text {
            self.put_images(&mut batch, &products, plan)?;
        }
        batch.tags = Some(self.tags(&shared, title_position)?);
        Ok(batch)
    }

    /// The tags of each product's rows.
    fn tags(&self, shared: &[&[(usize, &Row)]], title_position: usize) -> Result<HostTags, String> {
        let row = |row: &Row| {
            let ids = row.tag.zip(self.tags.as_ref()).map(|(tag, tags)| &tags.ids[tag as usize]);
            let tag = self.tokenizer.tag_row(ids.unwrap_or(&TextIds::default()), title_position);
            tag.map_err(|error| format!("product {}: {error}", self.corpus.items[row.item].id))
        };
        let of_product = |rows: &&[(usize, &Row)]| rows.iter().map(|(_, of)| row(of)).collect::<Result<Vec<_>, _>>();
        let tags = shared.iter().map(of_product).collect::<Result<Vec<_>, String>>()?;
        let most = tags.iter().map(Vec::len).max().unwrap_or(0);
        let text = tags.iter().flatten().map(TextRow::len).max().unwrap_or(0);
        let mut host = HostTags { most, text, title_position, ..HostTags::default() };
        for (product, tags) in tags.iter().enumerate() {
            host.places.extend((0..tags.len()).map(|tag| (product * most + tag) as i64));
            for tag in tags {
                host.ids.extend(&tag.input_ids);
                host.mask.resize(host.ids.len(), 1);
                let end = host.mask.len() + text - tag.len();
                host.ids.resize(end, 0);
                host.mask.resize(end, 0);
            }
            let end = (product + 1) * most * text;
            host.ids.resize(end, 0);
            host.mask.resize(end, 0);
        }
        Ok(host)
    }

    /// Pixels of products, and which of them have an image.
    fn put_images(
        &self,
        batch: &mut HostBatch,
        products: &[(usize, Option<u32>)],
        plan: &BatchPlan,
    ) -> Result<(), String> {
        batch.pixels = Some(self.pixels(products, plan)?);
        let has_image = |&(product, _): &(usize, Option<u32>)| self.corpus.items[product].picture.is_some();
        if !products.iter().all(has_image) {
            batch.present = Some(products.iter().map(|product| f32::from(u8::from(has_image(product)))).collect());
        }
        Ok(())
    }

    /// Pixels of products, `[products, 3, height, width]`; 0 for one without an image.
    fn pixels(&self, products: &[(usize, Option<u32>)], plan: &BatchPlan) -> Result<Vec<f32>, String> {
        let values = 3 * self.preprocessor.width() * self.preprocessor.height();
        let mut pixels = vec![0.0; products.len() * values];
        pixels.par_chunks_mut(values).zip(products).enumerate().try_for_each(|(index, (slot, &(product, _)))| {
            let item = &self.corpus.items[product];
            let Some(picture) = &item.picture else { return Ok::<(), String>(()) };
            let image = picture.image(&self.preprocessor).map_err(|error| format!("product {}: {error}", item.id))?;
            slot.copy_from_slice(&if plan.augmented {
                // A stream of its own for each image: threads take them in any order.
                let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
                random.set_stream(index as u64 + 1);
                self.augmentation.pixels(&image, &self.preprocessor, &mut random)
            } else {
                self.preprocessor.pixels(&image)
            });
            Ok(())
        })?;
        Ok(pixels)
    }

    fn texts(&self, products: &[(usize, Option<u32>)], has_title: bool) -> Result<Vec<TextRow>, String> {
        let row = |&(product, tag): &(usize, Option<u32>)| {
            let item = &self.corpus.items[product];
            match (tag, &self.tags) {
                (Some(tag), Some(tags)) => {
                    let title = (has_title && !item.title.is_empty()).then_some(&item.title);
                    let row = self.tokenizer.pair_row(&tags.ids[tag as usize], title, self.max_tokens);
                    row.map_err(|error| format!("product {}: {error}", item.id))
                }
                _ => Ok(self.tokenizer.title_row(&item.title, self.max_tokens)),
            }
        };
        products.iter().map(row).collect()
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

    /// Hides rows: where there is no title, its `[SEP]` says nothing either.
    fn hide(&mut self, rows: impl Iterator<Item = bool>) {
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
            title_position: None,
            augmentation: Augmentation { flip: false, min_area: 1.0 },
            extra: Extra::Nothing,
        }
    }

    fn rows(items: &[usize]) -> Vec<Row> {
        items.iter().map(|&item| Row { item, tag: Some(0), label: 1, other: None }).collect()
    }

    fn batch(items: &[usize], variant: Variant) -> HostBatch {
        assembler().assemble(&BatchPlan { rows: rows(items), variant, seed: 1, augmented: false }).unwrap()
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
    fn queries_come_by_themselves_too() {
        let assembler = Assembler { extra: Extra::Queries, ..assembler() };
        let plan = BatchPlan { rows: rows(&[0, 1]), variant: Variant::Full, seed: 1, augmented: false };
        let mut batch = assembler.assemble(&plan).unwrap();
        assert_eq!(batch.queries.as_ref().unwrap().input_ids, [2, 5, 3, 2, 5, 3]);
        assert_eq!(batch.text.as_ref().unwrap().longest(), 6);
        let queries = batch.take_queries(&Device::flex()).unwrap();
        assert!(queries.token_type_ids.is_none() && queries.attention_mask.is_none());
    }

    #[test]
    fn two_products_to_be_compared_are_two_rows_of_inputs() {
        let assembler = Assembler { tags: None, ..assembler() };
        let row = |item, other, label| Row { item, other: Some(other), label, tag: None };
        let rows = vec![row(0, 1, 1), row(1, 2, 0)];
        let plan = |variant| BatchPlan { rows: rows.clone(), variant, seed: 1, augmented: false };
        let batch = assembler.assemble(&plan(Variant::Full)).unwrap();
        assert_eq!((batch.products.join(""), batch.rows()), ("abbc".to_owned(), 2));
        assert_eq!(batch.present, Some(vec![1.0, 1.0, 1.0, 0.0]));
        assert_eq!(batch.text.unwrap().longest(), 4);
        let image = assembler.assemble(&plan(Variant::Image)).unwrap();
        assert_eq!(
            (image.products.join(""), image.positions),
            ("ab".to_owned(), vec![0]),
            "the second row lacks an image"
        );
    }

    #[test]
    fn products_and_tags_apart_share_what_can_be_shared() {
        let assembler = Assembler { title_position: Some(6), ..assembler() };
        let row = |item, label| Row { item, tag: Some(0), label, other: None };
        let rows = vec![row(0, 1), row(0, 0), row(1, 1)];
        let plan = |variant| BatchPlan { rows: rows.clone(), variant, seed: 1, augmented: false };
        let mut batch = assembler.assemble(&plan(Variant::Full)).unwrap();
        assert_eq!((batch.products.join(""), batch.rows(), &batch.positions), ("ab".to_owned(), 3, &vec![0, 1, 2]));
        let title = batch.text.as_ref().unwrap();
        assert_eq!(title.input_ids, [6, 7, 3, 7, 3, 0], "titles alone, and [SEP]");
        let tags = batch.tags.as_ref().unwrap();
        assert_eq!((tags.most, tags.text, &tags.places), (2, 3, &vec![0, 1, 2]));
        assert_eq!(tags.ids, [2, 5, 3, 2, 5, 3, 2, 5, 3, 0, 0, 0]);
        assert_eq!(tags.mask, [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
        let apart = batch.take_apart(&Device::flex()).unwrap();
        assert_eq!((apart.tags.tag_ids.dims(), apart.title.unwrap().input_ids.dims()), ([2, 2, 3], [2, 3]));
        let image = assembler.assemble(&plan(Variant::Image)).unwrap();
        assert!(image.text.is_none() && image.tags.is_some());
        let long = Assembler { title_position: Some(2), ..assembler };
        assert!(long.assemble(&plan(Variant::Full)).unwrap_err().contains("limit is 2"));
    }

    #[test]
    fn what_stage_1_hides_is_decided_by_the_seed() {
        let masking = Masking {
            tokens: 0.5,
            patches: 0.5,
            patch_masking: super::super::PatchMasking::MaskVector,
            mask_id: 4,
            ordinary: vec![5, 6, 7],
            patches_per_image: 4,
        };
        let assembler = Assembler { tags: None, extra: Extra::Masking(masking), ..assembler() };
        let rows: Vec<Row> = (0..3).map(|item| Row { item, ..Row::default() }).collect();
        let hidden = |seed| {
            let plan = BatchPlan { rows: rows.clone(), variant: Variant::Full, seed, augmented: true };
            assembler.assemble(&plan).unwrap().hidden.unwrap()
        };
        assert_eq!(hidden(3), hidden(3));
        assert!((0..20).any(|seed| hidden(seed) != hidden(3)));
        assert_eq!(hidden(3).patches.len(), 4, "two of the four patches of two images");
    }
}
