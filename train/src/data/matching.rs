//! Match rows out of attribute columns: does this tag describe this product?
//!
//! A negative tag is another product's value of the same attribute. Drawn uniformly from all tags instead, its mere
//! frequency would tell it from a positive one.

use std::collections::{BTreeMap, HashMap, HashSet};

use mbsd_spec::text::{TextIds, Tokenizer};
use rand::{Rng, RngExt};

use super::{Item, Row};

/// Draws for a negative before an attribute is given up: it has a single value, or nearly so.
const DRAWS: usize = 100;

/// The tags to learn, as tokens.
#[derive(Debug, Clone)]
pub struct TagSet {
    /// `Name:value` each.
    pub names: Vec<String>,
    /// Their tokens.
    pub ids: Vec<TextIds>,
}

impl TagSet {
    /// Tokenizes tags.
    pub fn new(names: Vec<String>, tokenizer: &Tokenizer) -> Self {
        let ids = names.iter().map(|name| tokenizer.encode(name)).collect();
        Self { names, ids }
    }
}

/// The values of every product's attributes, as tags.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// For each product, the tag of each attribute it has one for, as `(attribute, tag)`.
    of_item: Vec<Vec<(usize, u32)>>,
    /// For each attribute, the tags of all products that have one: their frequencies.
    pools: Vec<Vec<u32>>,
}

impl Attributes {
    /// `columns` names, for each of the items' values, the attribute it holds. Values without a tag are left out.
    pub fn new(items: &[Item], attributes: &BTreeMap<String, String>, tags: &[String]) -> Self {
        let index: HashMap<&str, u32> = tags.iter().map(String::as_str).zip(0..).collect();
        let mut pools = vec![Vec::new(); attributes.len()];
        let of_item = items
            .iter()
            .map(|item| {
                let found = attributes.keys().zip(&item.values).enumerate().filter_map(|(attribute, (name, value))| {
                    let tag = index.get(format!("{name}:{value}").as_str()).copied()?;
                    Some((attribute, tag))
                });
                found.inspect(|&(attribute, tag)| pools[attribute].push(tag)).collect()
            })
            .collect();
        Self { of_item, pools }
    }

    /// The tags that no product has.
    pub fn absent<'a>(&self, tags: &'a [String]) -> Vec<&'a str> {
        let present: HashSet<u32> = self.pools.iter().flatten().copied().collect();
        (0..).zip(tags).filter(|(tag, _)| !present.contains(tag)).map(|(_, name)| name.as_str()).collect()
    }

    /// So many rows a product, of different tags: for each an attribute, all of them once before one comes again, with the
    /// product's own value (label 1) or another product's (label 0), by the toss of a coin. Tags drawn again are left out, so that
    /// with more tags than attributes most of the further ones are negative. Products without a usable attribute have none.
    pub fn draw(&self, tags: usize, random: &mut impl Rng) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::with_capacity(tags * self.of_item.len());
        for (item, own) in self.of_item.iter().enumerate().filter(|(_, own)| !own.is_empty()) {
            let first = rows.len();
            let start = random.random_range(0..own.len());
            for place in start..start + tags {
                let drawn = self.draw_one(item, own[place % own.len()], random);
                rows.extend(drawn.filter(|row| rows[first..].iter().all(|earlier| earlier.tag != row.tag)));
            }
        }
        rows
    }

    fn draw_one(&self, item: usize, (attribute, tag): (usize, u32), random: &mut impl Rng) -> Option<Row> {
        if random.random_bool(0.5) {
            return Some(Row { item, tag: Some(tag), label: 1, other: None });
        }
        let pool = &self.pools[attribute];
        let other = (0..DRAWS).map(|_| pool[random.random_range(0..pool.len())]).find(|&other| other != tag);
        other.map(|other| Row { item, tag: Some(other), label: 0, other: None })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn item(values: [&str; 2]) -> Item {
        Item { id: String::new(), title: TextIds::default(), picture: None, values: values.map(str::to_owned).to_vec() }
    }

    #[test]
    fn negatives_are_other_products_values_of_the_same_attribute() {
        let attributes = BTreeMap::from([("Colour".to_owned(), "c".to_owned()), ("Size".to_owned(), "s".to_owned())]);
        let tags: Vec<String> = ["Colour:red", "Colour:blue", "Colour:unused", "Size:L"].map(str::to_owned).to_vec();
        let mut items: Vec<Item> = (0..300).map(|i| item([if i % 3 == 0 { "blue" } else { "red" }, ""])).collect();
        items.push(item(["no tag", "L"]));
        items.push(item(["no tag", ""]));
        let drawn = Attributes::new(&items, &attributes, &tags);
        assert_eq!(drawn.absent(&tags), ["Colour:unused"]);
        let rows = drawn.draw(1, &mut ChaCha8Rng::seed_from_u64(7));
        assert_eq!(rows, drawn.draw(1, &mut ChaCha8Rng::seed_from_u64(7)), "a seed decides every row");
        assert_ne!(rows, drawn.draw(1, &mut ChaCha8Rng::seed_from_u64(8)));
        for row in &rows {
            let own = format!("Colour:{}", items[row.item].values[0]);
            let name = tags[row.tag.unwrap() as usize].as_str();
            match row.item {
                300 => assert_eq!((name, row.label), ("Size:L", 1), "an attribute of one value has no negatives"),
                _ => assert_eq!(row.label == 1, own == name),
            }
            assert_ne!(name, "Colour:unused");
        }
        let positives = rows.iter().filter(|row| row.label == 1).count();
        assert!((120..180).contains(&positives), "{positives} positives of {}", rows.len());

        let both: Vec<Item> = (0..200).map(|i| item([["red", "L"], ["blue", "S"]][i % 2])).collect();
        let tags: Vec<String> = ["Colour:red", "Colour:blue", "Size:L", "Size:S"].map(str::to_owned).to_vec();
        let both = Attributes::new(&both, &attributes, &tags).draw(2, &mut ChaCha8Rng::seed_from_u64(7));
        assert_eq!(both.len(), 400, "each attribute once");
        let positives = both.iter().filter(|row| row.label == 1).count();
        assert!((160..240).contains(&positives), "{positives} of 400");

        let several = drawn.draw(3, &mut ChaCha8Rng::seed_from_u64(7));
        let products: Vec<&[Row]> = several.chunk_by(|a, b| a.item == b.item).collect();
        assert!(products.len() >= 300, "the size has no negatives, and may have been asked for three of them");
        for rows in products {
            assert!((1..=2).contains(&rows.len()), "there are two colours to ask about, and one size");
            assert!(rows.iter().map(|row| row.tag).collect::<std::collections::BTreeSet<_>>().len() == rows.len());
        }
    }
}
