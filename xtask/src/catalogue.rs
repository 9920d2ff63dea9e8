//! The catalogue of the demo: products made up from a seed, drawn as pictures and titled in Chinese and English.
//!
//! Every attribute leaves its evidence in a known place ([`attributes::Evidence`]), so that what a
//! model makes of pictures and of titles can be told apart.

pub(crate) mod attributes;
mod canvas;
mod picture;
mod random;
mod title;

use std::borrow::Borrow;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use jpeg_encoder::{ColorType, Encoder};
use serde_json::{Map, Value as Json};

use attributes::{ATTRIBUTES, Attribute, COLOUR, MATERIAL, PATTERN, SEASON, SLEEVE_LENGTHS, TYPES};
use picture::{Looks, SIDE};
use random::Random;

/// Types that have sleeves and types that are woven, by their place in [`TYPES`].
const SLEEVED: [usize; 2] = [0, 1];
const WOVEN: [usize; 5] = [0, 1, 2, 3, 4];

/// One product.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    /// `p00042`.
    pub(crate) id: String,
    /// Title; `None` for a product listed without one.
    pub(crate) title: Option<String>,
    /// The picture as a JPEG file; `None` for a product listed without one.
    pub(crate) image: Option<Vec<u8>>,
    /// Its attributes by name, in the order of [`ATTRIBUTES`], with the name of its value.
    pub(crate) attributes: Vec<(&'static Attribute, usize)>,
}

impl Product {
    /// The product with this number in the catalogue of a seed. It does not depend on the others.
    pub(crate) fn make(seed: u64, number: usize) -> Result<Self> {
        let mut random = Random::new(seed, number as u64);
        let (kind, sleeve) = (random.below(TYPES.len()), random.below(SLEEVE_LENGTHS));
        let mut value = |attribute: &Attribute| random.below(attribute.values.len());
        let (colour, pattern) = (value(&COLOUR), value(&PATTERN));
        let (material, season) = (value(&MATERIAL), value(&SEASON));
        let sleeve = SLEEVED.contains(&kind).then_some(sleeve);
        let material = WOVEN.contains(&kind).then_some(material);

        let pixels = picture::draw(Looks { kind, colour, pattern, sleeve }, &mut random);
        let mut image = Vec::new();
        Encoder::new(&mut image, 90).encode(&pixels, SIDE, SIDE, ColorType::Rgb).context("cannot encode a picture")?;
        let values = [Some(colour), Some(pattern), material, Some(season)];
        let attributes: Vec<_> =
            ATTRIBUTES.into_iter().zip(values).filter_map(|(attribute, value)| Some((attribute, value?))).collect();
        let told = attributes.iter().map(|&(a, v)| &a.values[v]).filter(|v| v.words.is_some());
        let said: Vec<_> = told.chain([&TYPES[kind]]).collect();
        let title = title::write(&said, &mut random);
        Ok(Self { id: format!("p{number:05}"), title: Some(title), image: Some(image), attributes })
    }

    /// File of the picture, relative to the catalogue.
    fn image_path(&self) -> String {
        format!("images/{}.jpg", self.id)
    }

    /// `id`, `title` and `image` as a table row.
    fn row(&self) -> Map<String, Json> {
        let mut row = Map::new();
        row.insert("id".into(), self.id.clone().into());
        row.insert("title".into(), self.title.clone().into());
        row.insert("image".into(), self.image.as_ref().map(|_| self.image_path()).into());
        row
    }
}

fn tag(attribute: &Attribute, value: usize) -> String {
    format!("{}:{}", attribute.name, attribute.values[value].name)
}

/// Every tag there is, attribute by attribute.
pub(crate) fn all_tags() -> Vec<String> {
    ATTRIBUTES.into_iter().flat_map(|a| (0..a.values.len()).map(move |value| tag(a, value))).collect()
}

/// How many products of each kind a catalogue has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// To learn from.
    pub(crate) train: usize,
    /// To watch the training by.
    pub(crate) validation: usize,
    /// Kept for the end.
    pub(crate) held_out: usize,
}

/// Of the held-out products, one in this many has no picture, and one in this many has no title.
const BARE_EVERY: usize = 10;

/// Makes the catalogue and writes it into `folder`: `train.jsonl`, `validation.jsonl` (columns id, title, image
/// and one per attribute), `held-out.jsonl` (id, title, image; some without title or image), `questions.jsonl` and
/// `questions-<attribute>.jsonl` (id, title, image, tag, label; of whole held-out products), `tags.txt` and `images/`.
/// Returns the held-out products.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(folder: &Path, seed: u64, sizes: Sizes) -> Result<Vec<Product>> {
    let images = folder.join("images");
    fs::create_dir_all(&images).with_context(|| format!("cannot make {}", images.display()))?;
    let mut number = 0;
    let mut next = |count: usize| -> Result<Vec<Product>> {
        let products = (number..number + count).map(|n| Product::make(seed, n)).collect::<Result<Vec<_>>>()?;
        number += count;
        for product in &products {
            let path = folder.join(product.image_path());
            let image = product.image.as_deref().unwrap_or_default();
            fs::write(&path, image).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(products)
    };

    for (name, count) in [("train.jsonl", sizes.train), ("validation.jsonl", sizes.validation)] {
        let rows = next(count)?.into_iter().map(|product| {
            let mut row = product.row();
            for &(attribute, value) in &product.attributes {
                row.insert(attribute.name.into(), attribute.values[value].name.into());
            }
            row
        });
        write_rows(&folder.join(name), rows)?;
    }

    let mut held_out = next(sizes.held_out)?;
    let asked: Vec<_> = held_out.iter().flat_map(|product| questions(product, seed)).collect();
    write_rows(&folder.join(questions_file(None)), asked.iter().map(|(_, row)| row))?;
    for attribute in ATTRIBUTES {
        let rows = asked.iter().filter(|(asked, _)| asked.name == attribute.name).map(|(_, row)| row);
        write_rows(&folder.join(questions_file(Some(attribute))), rows)?;
    }
    for (i, product) in held_out.iter_mut().enumerate() {
        match i % BARE_EVERY {
            4 => product.image = None,
            8 => product.title = None,
            _ => {}
        }
    }
    write_rows(&folder.join("held-out.jsonl"), held_out.iter().map(Product::row))?;
    let tags = folder.join("tags.txt");
    fs::write(&tags, all_tags().join("\n") + "\n").with_context(|| format!("cannot write {}", tags.display()))?;
    Ok(held_out)
}

/// The file with the questions about one attribute, or about all of them.
pub(crate) fn questions_file(attribute: Option<&Attribute>) -> String {
    attribute.map_or("questions.jsonl".to_owned(), |attribute| format!("questions-{}.jsonl", attribute.english))
}

/// Two rows per attribute: the product's own value, and another value of the same attribute, so that
/// neither the attribute nor the frequency of a tag gives the answer away.
fn questions(product: &Product, seed: u64) -> Vec<(&'static Attribute, Map<String, Json>)> {
    let number: u64 = product.id.bytes().filter(u8::is_ascii_digit).fold(0, |n, d| n * 10 + u64::from(d - b'0'));
    let mut random = Random::new(!seed, number);
    let mut rows = Vec::new();
    for &(attribute, value) in &product.attributes {
        let count = attribute.values.len();
        let other = (value + 1 + random.below(count - 1)) % count;
        for (value, label) in [(value, 1), (other, 0)] {
            let mut row = product.row();
            row.insert("tag".into(), tag(attribute, value).into());
            row.insert("label".into(), label.into());
            rows.push((attribute, row));
        }
    }
    rows
}

fn write_rows(path: &Path, rows: impl IntoIterator<Item: Borrow<Map<String, Json>>>) -> Result<()> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, row.borrow())?;
        text.push(b'\n');
    }
    fs::File::create(path)
        .and_then(|mut file| file.write_all(&text))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::attributes::Evidence;
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_files() {
        let sizes = Sizes { train: 12, validation: 3, held_out: 10 };
        let read = |seed| {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), seed, sizes).unwrap();
            let mut names: Vec<_> =
                fs::read_dir(folder.path().join("images")).unwrap().map(|e| e.unwrap().path()).collect();
            names.extend(
                ["train", "validation", "held-out", "questions", "questions-season"]
                    .map(|n| folder.path().join(n).with_extension("jsonl")),
            );
            names.sort();
            names.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(read(7), read(7));
        assert_ne!(read(7), read(8));
    }

    #[test]
    fn titles_name_what_is_to_be_read_and_nothing_that_is_to_be_seen() {
        for number in 0..400 {
            let product = Product::make(1, number).unwrap();
            let title = product.title.as_deref().unwrap();
            for &(attribute, value) in &product.attributes {
                let names =
                    |value: &attributes::Value| value.words.into_iter().flatten().any(|word| title.contains(word));
                match attribute.evidence {
                    Evidence::Seen => {
                        for value in attribute.values {
                            assert!(!title.to_lowercase().contains(&value.name.to_lowercase()), "{title}");
                        }
                    }
                    Evidence::Read => {
                        assert!(names(&attribute.values[value]), "{title} does not say {}", tag(attribute, value));
                    }
                }
                if attribute.evidence == Evidence::Read {
                    let said = attribute.values.iter().filter(|value| names(value)).count();
                    assert_eq!(said, 1, "{title} is not clear about {}", attribute.name);
                }
            }
        }
    }

    #[test]
    fn every_seen_value_changes_the_picture() {
        let draw = |looks| picture::draw(looks, &mut Random::new(3, 3));
        let looks = Looks { kind: 0, colour: 0, pattern: 0, sleeve: Some(0) };
        let mut pictures = vec![draw(looks)];
        pictures.extend((1..COLOUR.values.len()).map(|colour| draw(Looks { colour, ..looks })));
        pictures.extend((1..PATTERN.values.len()).map(|pattern| draw(Looks { pattern, ..looks })));
        pictures.push(draw(Looks { sleeve: Some(1), ..looks }));
        pictures.extend((2..TYPES.len()).map(|kind| draw(Looks { kind, sleeve: None, ..looks })));
        for (i, a) in pictures.iter().enumerate() {
            for b in &pictures[..i] {
                let difference: u32 = a.iter().zip(b).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum();
                assert!(difference > 30_000, "two pictures differ by {difference} only");
            }
        }
    }

    #[test]
    fn held_out_products_lack_a_picture_or_a_title_here_and_there() {
        let folder = tempfile::tempdir().unwrap();
        let held_out = write(folder.path(), 1, Sizes { train: 1, validation: 1, held_out: 20 }).unwrap();
        let without = |bare: fn(&Product) -> bool| held_out.iter().filter(|product| bare(product)).count();
        assert_eq!(without(|p| p.image.is_none()), 2);
        assert_eq!(without(|p| p.title.is_none()), 2);
        assert_eq!(without(|p| p.title.is_none() && p.image.is_none()), 0);
    }

    #[test]
    fn every_question_has_a_true_and_a_false_tag_of_one_attribute() {
        let product = Product::make(1, 5).unwrap();
        let rows = questions(&product, 1);
        assert_eq!(rows.len(), 2 * product.attributes.len());
        let tags: Vec<String> = product.attributes.iter().map(|&(attribute, value)| tag(attribute, value)).collect();
        for (attribute, row) in rows {
            let tag = row["tag"].as_str().unwrap().to_owned();
            assert!(tag.starts_with(&format!("{}:", attribute.name)));
            assert_eq!(tags.contains(&tag), row["label"] == 1, "{tag}");
        }
    }
}
