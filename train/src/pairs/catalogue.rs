//! The products: ids, categories, titles and attribute values.

use std::path::PathBuf;

use mbsd_data::{FieldOptions, Fields, texts};

use super::intern::Interner;
use super::rows::{Meter, RowCount};
use super::{PairsError, Wording};

/// The title's column, which a file need not have if nobody named another.
pub const USUAL_TITLE: &str = "title";

/// Where the products are.
#[derive(Debug, Clone)]
pub struct ProductsInput {
    /// Parquet, JSON Lines, CSV or TSV.
    pub path: PathBuf,
    /// Column of the id.
    pub id_column: String,
    /// Column of the category; needed for negatives of the same category.
    pub category_column: String,
    /// Column of the title; a file may lack it where it is [`USUAL_TITLE`].
    pub title_column: String,
    /// The columns of a CSV or TSV file without a header line.
    pub header: Option<Vec<String>>,
}

/// What to read of each product besides its id and title.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a> {
    /// Attribute columns that must be there.
    pub(super) columns: &'a [String],
    /// Attribute columns that are read where they are there.
    pub(super) optional: &'a [String],
    /// Whether the category column must be there.
    pub(super) needs_category: bool,
    /// The words of values.
    pub(super) wording: &'a Wording,
}

/// One product.
#[derive(Debug, Clone)]
pub(super) struct ProductRow {
    pub(super) id: String,
    /// Number of its category.
    pub(super) category: Option<u32>,
    /// Its title; empty where there is none.
    pub(super) title: Box<str>,
    /// Its attributes: the column's place among the attribute columns, and the number of the words.
    words: Box<[(u16, u32)]>,
}

/// The products in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) products: Vec<ProductRow>,
    /// Numbers of the ids, as places in `products`.
    ids: Interner,
    /// Every word of the attributes, empty text for what is said not to be known.
    words: Interner,
    /// The attribute columns.
    pub(super) columns: Vec<String>,
    /// How many categories there are.
    pub(super) categories: usize,
}

impl Catalogue {
    /// Reads the products, all of them or those with a wanted id. `each_word` sees the column and the words of every
    /// attribute of all products.
    ///
    /// # Errors
    /// If the file cannot be read or lacks a column.
    pub(super) fn read(
        input: &ProductsInput,
        attributes: &Attributes<'_>,
        wanted: Option<&Interner>,
        count: &mut RowCount,
        mut each_word: impl FnMut(&str, &str),
    ) -> Result<Self, PairsError> {
        let mut required = vec![input.id_column.clone()];
        required.extend_from_slice(attributes.columns);
        if attributes.needs_category {
            required.push(input.category_column.clone());
        }
        let further = required.len();
        let mut optional = vec![input.title_column.clone(), input.category_column.clone()];
        optional.extend_from_slice(attributes.optional);
        let options = FieldOptions { required, optional, header: input.header.clone() };
        let fields = Fields::open(&input.path, &options)?;
        if input.title_column != USUAL_TITLE {
            fields.require(&input.title_column)?;
        }
        let [title, category] = [further, further + 1];
        let named = attributes.columns.iter().enumerate().map(|(place, name)| (1 + place, name));
        let more = attributes.optional.iter().enumerate().map(|(place, name)| (further + 2 + place, name));
        let columns: Vec<(usize, &String)> = named.chain(more.filter(|(place, _)| fields.has(*place))).collect();
        let mut meter = Meter::new("products", fields.row_count());
        let names = columns.iter().map(|(_, name)| (*name).clone()).collect();
        let mut catalogue = Self { columns: names, ..Self::default() };
        let mut categories = Interner::default();
        for row in fields {
            count.rows += 1;
            meter.step(1);
            let row = match row {
                Ok(row) => row,
                Err(bad) => {
                    count.unreadable("products", bad, &input.path)?;
                    continue;
                }
            };
            let Some(id) = texts(&row.values[0]).into_iter().next() else {
                count.bad(format_args!("products row {}: missing_id: `{}` is null or empty", row.row, input.id_column));
                continue;
            };
            let mut words = Vec::new();
            for (column, (place, name)) in columns.iter().enumerate() {
                for value in texts(&row.values[*place]) {
                    for word in attributes.wording.of(name, &value) {
                        each_word(name, &word);
                        words.push((column as u16, catalogue.words.intern(&word)));
                    }
                }
            }
            if wanted.is_some_and(|wanted| wanted.get(&id).is_none()) {
                continue;
            }
            if catalogue.ids.get(&id).is_some() {
                count.bad(format_args!("products row {}: duplicate_id: an earlier row has the id `{id}`", row.row));
                continue;
            }
            catalogue.ids.intern(&id);
            let text = |place: usize| texts(&row.values[place]).into_iter().next();
            let category = text(category).map(|category| categories.intern(&category));
            let title = text(title).unwrap_or_default().into_boxed_str();
            catalogue.products.push(ProductRow { id, category, title, words: words.into() });
        }
        catalogue.categories = categories.len();
        catalogue.sort();
        Ok(catalogue)
    }

    fn sort(&mut self) {
        self.products.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        self.ids = std::mem::take(&mut self.ids).sorted().0;
    }

    /// The place of a product.
    pub(super) fn find(&self, id: &str) -> Option<u32> {
        self.ids.get(id)
    }

    /// What is said of a product's attribute; `""` stands for saying nothing.
    pub(super) fn words(&self, product: &ProductRow, column: usize) -> impl Iterator<Item = &str> {
        let of_column = product.words.iter().filter(move |(place, _)| usize::from(*place) == column);
        of_column.map(|&(_, word)| self.words.text(word))
    }
}

#[cfg(test)]
pub(super) mod testing {
    use std::path::Path;

    use super::*;

    /// A catalogue of rows `id,category,title` and further columns.
    pub(in crate::pairs) fn catalogue(csv: &str, columns: &[&str]) -> Catalogue {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("products.csv");
        std::fs::write(&path, csv).unwrap();
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        let mut count = RowCount::default();
        Catalogue::read(&input(&path), &attributes(&columns, &Wording::default()), None, &mut count, |_, _| ()).unwrap()
    }

    pub(in crate::pairs) fn attributes<'a>(columns: &'a [String], wording: &'a Wording) -> Attributes<'a> {
        Attributes { columns, optional: &[], needs_category: true, wording }
    }

    pub(in crate::pairs) fn input(path: &Path) -> ProductsInput {
        ProductsInput {
            path: path.to_owned(),
            id_column: "id".to_owned(),
            category_column: "category".to_owned(),
            title_column: "title".to_owned(),
            header: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_stand_in_the_order_of_their_ids() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.csv");
        std::fs::write(
            &path,
            "id,category,colour\nb,shoes,Navy Blue\n,x,y\na,,\nb,again,red\nc,hats,red\nz,hats,Odd\n",
        )
        .unwrap();
        let mut wanted = Interner::default();
        for id in ["a", "b", "c"] {
            wanted.intern(id);
        }
        let mut count = RowCount::default();
        let mut seen = Vec::new();
        let wording = Wording::default();
        let optional = ["size".to_owned(), "colour".to_owned()];
        let attributes = Attributes { optional: &optional, ..testing::attributes(&[], &wording) };
        let input = testing::input(&path);
        let read = Catalogue::read(&input, &attributes, Some(&wanted), &mut count, |column, word| {
            seen.push(format!("{column}={word}"))
        });
        let catalogue = read.unwrap();
        assert_eq!(catalogue.columns, ["colour"], "an optional column that is not there is left out");
        assert_eq!(catalogue.products.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!((catalogue.find("b"), catalogue.find("z")), (Some(1), None));
        assert_eq!(catalogue.products.iter().map(|p| p.category).collect::<Vec<_>>(), [None, Some(0), Some(1)]);
        let words = |place: usize| catalogue.words(&catalogue.products[place], 0).collect::<Vec<_>>();
        assert_eq!((words(0), words(1)), (vec![], vec!["navy blue"]));
        assert_eq!(
            seen,
            ["colour=navy blue", "colour=red", "colour=red", "colour=odd"],
            "words of products that are not wanted count too"
        );
        assert_eq!((count.rows, count.bad), (6, 2));
        assert_eq!(count.named[1], "products row 4: duplicate_id: an earlier row has the id `b`");
    }
}
