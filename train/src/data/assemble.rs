//! From plans to batches: rows become sequences and pixels.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use mbsd_spec::image::{Preprocessor, RgbImage};
use mbsd_spec::text::{TextIds, TextRow, Tokenizer};
use mbsd_spec::{Config, Task, Variant};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::batch::{HostBatch, HostTags, HostText};
use super::{Augmentation, BatchPlan, Corpus, Item, Masking, Row, TagSet};

/// Characters of a tag or query that are shown where it is too long.
const SHOWN: usize = 60;

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

/// How products and tags become sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Tokens of a row.
    pub max_tokens: usize,
    /// Where titles begin, if products are read apart from their tags (one-way attention).
    pub title_position: Option<usize>,
}

impl Form {
    /// That of a model for a task.
    pub fn of(config: &Config, task: Task) -> Self {
        Self { max_tokens: config.max_text_tokens(), title_position: config.title_position(task) }
    }

    /// Tokens that `[CLS] tag [SEP]` may have.
    pub fn tag_limit(self) -> usize {
        self.title_position.unwrap_or(self.max_tokens.saturating_sub(1))
    }
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
    /// How rows become sequences.
    pub form: Form,
    /// How they do for a teacher, if there is one.
    pub teacher: Option<Form>,
    /// What is done to the images of augmented batches.
    pub augmentation: Augmentation,
    /// What else a batch holds.
    pub extra: Extra,
}

/// A row of a batch.
#[derive(Debug, Clone, Copy)]
struct PlacedRow<'a> {
    /// Where it stands in the plan.
    position: usize,
    row: &'a Row,
    /// Numbers what is drawn for its image: of rows that share a product, the first of them.
    stream: u64,
}

/// The images of a batch, by item.
type Images<'a> = HashMap<usize, Cow<'a, RgbImage>>;

/// What a batch is made of.
struct Material<'a> {
    plan: &'a BatchPlan,
    rows: Vec<PlacedRow<'a>>,
    images: Images<'a>,
}

/// A product of a batch.
#[derive(Debug, Clone, Copy)]
struct Product {
    item: usize,
    /// The tag that its sequence begins with.
    tag: Option<u32>,
    /// As that of its row.
    stream: u64,
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
        products(row).all(|item| {
            let item = &self.corpus.items[item];
            match variant {
                Variant::Image => item.picture.is_some(),
                Variant::Text => !item.title.is_empty(),
                _ => true,
            }
        })
    }

    /// Takes out the rows whose tag or query is too long for the model or its teacher, and says so of each. They are never
    /// truncated.
    pub fn take_too_long(&self, rows: &mut Vec<Row>) -> Vec<String> {
        let Some(tags) = &self.tags else { return Vec::new() };
        let forms = [Some(self.form), self.teacher].into_iter().flatten();
        let limit = forms.map(Form::tag_limit).min().unwrap_or_default();
        let mut taken = Vec::new();
        rows.retain(|row| {
            let Some(tag) = row.tag else { return true };
            let Err(error) = self.tokenizer.tag_row(&tags.ids[tag as usize], limit) else { return true };
            let tag: String = tags.names[tag as usize].chars().take(SHOWN).collect();
            taken.push(format!("product {}, `{tag}…`: {error}", self.corpus.items[row.item].id));
            false
        });
        taken
    }

    /// Whether any of these rows can be made in a variant.
    pub fn has_usable(&self, rows: &[Row], variant: Variant) -> bool {
        rows.iter().any(|row| self.usable(row, variant))
    }

    /// Rows of a plan that cannot be made in its variant are left out, as are those with an image that can no longer be read; the
    /// batch may be empty.
    ///
    /// # Errors
    /// What is wrong with a row whose tag does not fit, or that more rows cannot be used than the corpus allows.
    pub fn assemble(&self, plan: &BatchPlan) -> Result<HostBatch, String> {
        let mut usable: Vec<(usize, &Row)> =
            plan.rows.iter().enumerate().filter(|(_, row)| self.usable(row, plan.variant)).collect();
        let mut images = Images::new();
        if plan.variant != Variant::Text || self.teacher.is_some() {
            images = self.images(usable.iter().flat_map(|(_, row)| products(row)))?;
            let readable = |item: usize| self.corpus.items[item].picture.is_none() || images.contains_key(&item);
            usable.retain(|(_, row)| products(row).all(readable));
        }
        let mut rows: Vec<PlacedRow<'_>> =
            usable.into_iter().zip(0..).map(|((position, row), stream)| PlacedRow { position, row, stream }).collect();
        if self.form.title_position.is_some() {
            for rows in rows.chunk_by_mut(|a, b| a.row.item == b.row.item) {
                let stream = rows[0].stream;
                rows.iter_mut().for_each(|row| row.stream = stream);
            }
        }
        let material = Material { plan, rows, images };
        let mut batch = self.batch(&material, plan.variant, self.form)?;
        if let Some(form) = self.teacher {
            batch.teacher = Some(Box::new(self.for_teacher(&material, form, &batch)?));
        }
        Ok(batch)
    }

    /// The images of products that have one, but for those that can no longer be read, which are told to the corpus.
    fn images(&self, items: impl Iterator<Item = usize>) -> Result<Images<'_>, String> {
        let mut items: Vec<usize> = items.collect();
        items.sort_unstable();
        items.dedup();
        let read: Vec<_> = items
            .into_par_iter()
            .filter_map(|item| Some((item, self.corpus.items[item].picture.as_ref()?.image(&self.preprocessor))))
            .collect();
        self.corpus.regain(|item| read.iter().any(|(found, image)| *found == item && image.is_ok()));
        let mut images = Images::new();
        for (item, image) in read {
            match image {
                Ok(image) => drop(images.insert(item, image)),
                Err(reason) => self.corpus.lose(item, &reason).map_err(|error| error.to_string())?,
            }
        }
        Ok(images)
    }

    fn batch(&self, material: &Material<'_>, variant: Variant, form: Form) -> Result<HostBatch, String> {
        match form.title_position {
            Some(title_position) => self.apart(material, variant, form, title_position),
            None => self.joined(material, variant, form),
        }
    }

    /// The rows as a teacher reads them, in full, whatever `batch` leaves out. Every image looks as it does there: a product is shared by
    /// the rows that share it there.
    fn for_teacher(&self, material: &Material<'_>, form: Form, batch: &HostBatch) -> Result<HostBatch, String> {
        if batch.pixels.is_none() || form.title_position.is_some() != self.form.title_position.is_some() {
            return self.batch(material, Variant::Full, form);
        }
        // The same products in the same order: their images are there already.
        let text = self.batch(material, Variant::Text, form)?;
        Ok(HostBatch { pixels: batch.pixels.clone(), present: batch.present.clone(), ..text })
    }

    /// The batch with each tag and its product in one sequence.
    fn joined(&self, material: &Material<'_>, variant: Variant, form: Form) -> Result<HostBatch, String> {
        let rows = &material.rows;
        let first = rows.iter().map(|&PlacedRow { row, stream, .. }| Product { item: row.item, tag: row.tag, stream });
        let second = rows.iter().filter_map(|&PlacedRow { row, stream, .. }| {
            Some(Product { item: row.other?, tag: None, stream: rows.len() as u64 + stream })
        });
        let products: Vec<Product> = first.chain(second).collect();
        let mut batch = self.labelled(&products, rows);
        let has_title = variant != Variant::Image;
        let mut texts =
            if has_title || self.tags.is_some() { self.texts(&products, has_title, form)? } else { Vec::new() };
        match &self.extra {
            Extra::Nothing => {}
            Extra::Queries => batch.queries = Some(HostText::new(&self.texts(&products, false, form)?)),
            Extra::Masking(masking) => {
                let mut random = ChaCha8Rng::seed_from_u64(material.plan.seed);
                let has_image: Vec<bool> = products.iter().map(|product| self.has_image(product)).collect();
                batch.hidden = Some(masking.hide(&mut texts, &has_image, &mut random));
            }
        }
        if !texts.is_empty() {
            batch.text = Some(HostText::new(&texts));
        }
        if variant != Variant::Text {
            self.put_images(&mut batch, &products, material);
        }
        Ok(batch)
    }

    /// The batch with products and tags apart.
    fn apart(
        &self,
        material: &Material<'_>,
        variant: Variant,
        form: Form,
        title_position: usize,
    ) -> Result<HostBatch, String> {
        let rows = &material.rows;
        let same = |a: &PlacedRow<'_>, b: &PlacedRow<'_>| (a.row.item, a.stream) == (b.row.item, b.stream);
        let shared: Vec<&[PlacedRow<'_>]> = rows.chunk_by(same).collect();
        let product = |rows: &&[PlacedRow<'_>]| Product { item: rows[0].row.item, tag: None, stream: rows[0].stream };
        let products: Vec<Product> = shared.iter().map(product).collect();
        let mut batch = self.labelled(&products, rows);
        if variant != Variant::Image {
            let room = form.max_tokens.saturating_sub(title_position);
            let titles = products.iter().map(|product| &self.corpus.items[product.item].title);
            let mut text =
                HostText::new(&titles.clone().map(|title| self.tokenizer.context_row(title, room)).collect::<Vec<_>>());
            text.hide(titles.map(TextIds::is_empty));
            batch.text = Some(text);
        }
        if variant != Variant::Text {
            self.put_images(&mut batch, &products, material);
        }
        batch.tags = Some(self.tags(&shared, title_position)?);
        Ok(batch)
    }

    /// A batch without inputs yet.
    fn labelled(&self, products: &[Product], rows: &[PlacedRow<'_>]) -> HostBatch {
        let items = rows.iter().map(|placed| &self.corpus.items[placed.row.item]);
        let each =
            |has: fn(&Item) -> bool| items.clone().map(|item| f32::from(u8::from(has(item)))).collect::<Vec<_>>();
        let row_modalities = [each(|item| !item.title.is_empty()), each(|item| item.picture.is_some())];
        HostBatch {
            row_modalities: row_modalities.iter().flatten().any(|&has| has == 0.0).then_some(row_modalities),
            products: products.iter().map(|product| self.corpus.items[product.item].id.clone()).collect(),
            positions: rows.iter().map(|placed| placed.position).collect(),
            labels: rows.iter().map(|placed| placed.row.label).collect(),
            side: self.preprocessor.width(),
            ..HostBatch::default()
        }
    }

    /// The tags of each product's rows.
    fn tags(&self, shared: &[&[PlacedRow<'_>]], title_position: usize) -> Result<HostTags, String> {
        let row = |row: &Row| {
            let ids = row.tag.zip(self.tags.as_ref()).map(|(tag, tags)| &tags.ids[tag as usize]);
            let tag = self.tokenizer.tag_row(ids.unwrap_or(&TextIds::default()), title_position);
            tag.map_err(|error| format!("product {}: {error}", self.corpus.items[row.item].id))
        };
        let of_product =
            |rows: &&[PlacedRow<'_>]| rows.iter().map(|placed| row(placed.row)).collect::<Result<Vec<_>, _>>();
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

    fn has_image(&self, product: &Product) -> bool {
        self.corpus.items[product.item].picture.is_some()
    }

    /// Pixels of products, and which of them have an image.
    fn put_images(&self, batch: &mut HostBatch, products: &[Product], material: &Material<'_>) {
        batch.pixels = Some(self.pixels(products, material));
        if !products.iter().all(|product| self.has_image(product)) {
            let present = products.iter().map(|product| f32::from(u8::from(self.has_image(product))));
            batch.present = Some(present.collect());
        }
    }

    /// Pixels of products, `[products, 3, height, width]`; 0 for one without an image.
    fn pixels(&self, products: &[Product], Material { plan, images, .. }: &Material<'_>) -> Vec<f32> {
        let values = 3 * self.preprocessor.width() * self.preprocessor.height();
        let mut pixels = vec![0.0; products.len() * values];
        pixels.par_chunks_mut(values).zip(products).for_each(|(slot, product)| {
            let Some(image) = images.get(&product.item) else { return };
            slot.copy_from_slice(&if plan.augmented {
                // A stream of its own for each image: threads take them in any order.
                let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
                random.set_stream(product.stream + 1);
                self.augmentation.pixels(image, &self.preprocessor, &mut random)
            } else {
                self.preprocessor.pixels(image)
            });
        });
        pixels
    }

    fn texts(&self, products: &[Product], has_title: bool, form: Form) -> Result<Vec<TextRow>, String> {
        let row = |product: &Product| {
            let item = &self.corpus.items[product.item];
            match (product.tag, &self.tags) {
                (Some(tag), Some(tags)) => {
                    let title = (has_title && !item.title.is_empty()).then_some(&item.title);
                    let row = self.tokenizer.pair_row(&tags.ids[tag as usize], title, form.max_tokens);
                    row.map_err(|error| format!("product {}: {error}", item.id))
                }
                _ => Ok(self.tokenizer.title_row(&item.title, form.max_tokens)),
            }
        };
        products.iter().map(row).collect()
    }
}

/// The products of a row.
fn products(row: &Row) -> impl Iterator<Item = usize> {
    [Some(row.item), row.other].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::super::TagSet;
    use super::super::picture::Picture;
    use super::*;
    use burn::tensor::Device;
    use mbsd_data::{ImageFolder, ImageSource};

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
            corpus: Arc::new(Corpus::of_items(items, 0)),
            tags: Some(Arc::new(TagSet::new(vec!["red".to_owned()], &tokenizer))),
            preprocessor: Preprocessor::new(&config),
            tokenizer: Arc::new(tokenizer),
            form: Form { max_tokens: 16, title_position: None },
            teacher: None,
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
        assert_eq!(full.row_modalities, Some([vec![1.0, 1.0], vec![0.0, 1.0]]));
        assert!(batch(&[0, 1], Variant::Full).row_modalities.is_none());
        let mut items = assembler().corpus.items.clone();
        items[1].title = TextIds::default();
        let without = Assembler { corpus: Arc::new(Corpus::of_items(items, 0)), ..assembler() };
        let plan = BatchPlan { rows: rows(&[2, 1]), variant: Variant::Text, seed: 1, augmented: false };
        assert_eq!(without.assemble(&plan).unwrap().products, ["c"], "a tag alone is no product");
        let image = batch(&[2, 1], Variant::Image);
        assert_eq!((image.products, image.positions, image.present), (vec!["b".to_owned()], vec![1], None));
    }

    #[test]
    fn a_product_whose_image_is_gone_is_left_out_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let images = Arc::new(ImageFolder::new(folder.path(), false).unwrap());
        let picture = |name: &str| {
            RgbImage::new(4, 4).save(folder.path().join(name)).unwrap();
            Some(Picture::Encoded(ImageSource::File { folder: images.clone(), path: name.to_owned() }))
        };
        let base = assembler();
        let mut items = base.corpus.items.clone();
        (items[0].picture, items[1].picture) = (picture("a.png"), picture("b.png"));
        let corpus = |bad| Arc::new(Corpus::of_items(items.clone(), bad));
        let one = Assembler { corpus: corpus(1), ..base };
        let plan = |variant| BatchPlan { rows: rows(&[0, 1, 2, 0]), variant, seed: 1, augmented: false };
        let products = |assembler: &Assembler, variant| assembler.assemble(&plan(variant)).unwrap().products.join("");
        assert_eq!(products(&one, Variant::Full), "abca");

        std::fs::remove_file(folder.path().join("a.png")).unwrap();
        // Each time again, and it counts once.
        for _ in 0..2 {
            assert_eq!(products(&one, Variant::Full), "bc");
            assert_eq!(products(&one, Variant::Image), "b");
        }
        assert_eq!(products(&one, Variant::Text), "abca", "its title is still there");
        let taught = Assembler { teacher: Some(one.form), ..one.clone() };
        assert_eq!(products(&taught, Variant::Text), "bc", "a teacher reads images");
        let none = Assembler { corpus: corpus(0), ..one.clone() };
        let error = none.assemble(&plan(Variant::Full)).unwrap_err();
        assert!(
            error.contains("1 of 3 rows") && error.contains("max_bad_rows") && error.contains("product a"),
            "{error}"
        );
        // One that is there again is not lost.
        RgbImage::new(4, 4).save(folder.path().join("a.png")).unwrap();
        assert_eq!(products(&one, Variant::Full), "abca");
        std::fs::remove_file(folder.path().join("b.png")).unwrap();
        assert_eq!(products(&one, Variant::Full), "aca");
        std::fs::remove_file(folder.path().join("a.png")).unwrap();
        assert!(one.assemble(&plan(Variant::Full)).unwrap_err().contains("2 of 3 rows"));
        let both = Assembler { corpus: corpus(2), ..one };
        assert_eq!(products(&both, Variant::Image), "", "nothing is left");
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
        let form = |title_position| Form { max_tokens: 16, title_position };
        let assembler = Assembler { form: form(Some(6)), ..assembler() };
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
        let long = Assembler { form: form(Some(2)), ..assembler };
        assert!(long.assemble(&plan(Variant::Full)).unwrap_err().contains("limit is 2"));
    }

    #[test]
    fn a_teacher_reads_the_same_rows_in_its_own_form_and_in_full() {
        const PIXELS: usize = 3 * SIDE * SIDE;
        let joined = Form { max_tokens: 16, title_position: None };
        let apart = Form { max_tokens: 16, title_position: Some(6) };
        let rows: Vec<Row> = [0, 0, 2, 1].iter().map(|&item| Row { item, tag: Some(0), ..Row::default() }).collect();
        let base = Assembler { augmentation: Augmentation { flip: true, min_area: 0.3 }, ..assembler() };
        /// The image of each row.
        fn images(batch: &HostBatch) -> Vec<&[f32]> {
            let pixels: Vec<&[f32]> = batch.pixels.as_ref().unwrap().chunks(PIXELS).collect();
            let product = |row: usize| batch.tags.as_ref().map_or(row, |tags| tags.places[row] as usize / tags.most);
            (0..batch.rows()).map(|row| pixels[product(row)]).collect()
        }
        for (own, teacher) in [(joined, apart), (apart, joined), (joined, joined), (apart, apart)] {
            let assembler = Assembler { form: own, teacher: Some(teacher), ..base.clone() };
            for variant in [Variant::Full, Variant::Text, Variant::Image] {
                let plan = BatchPlan { rows: rows.clone(), variant, seed: 5, augmented: true };
                let batch = assembler.assemble(&plan).unwrap();
                let taught = batch.teacher.as_ref().unwrap();
                assert_eq!((&taught.positions, &taught.labels), (&batch.positions, &batch.labels), "{variant}");
                assert_eq!(taught.tags.is_some(), teacher == apart);
                assert!(taught.text.as_ref().unwrap().input_ids.contains(&7), "it has titles");
                let looks = images(taught);
                if variant != Variant::Text {
                    assert!(images(&batch) == looks, "{variant}: every image looks the same to both");
                }
                // Rows of a product are one image to a student that reads it once, and several to another.
                assert_eq!(looks[0] == looks[1], own == apart, "{variant} {own:?}");
            }
        }
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
