//! What people did: which query led to which product, and how many bought it.

use std::path::PathBuf;

use mbsd_data::{FieldOptions, Fields, integer, texts};

use super::PairsError;
use super::intern::Interner;
use super::rows::{Meter, RowCount};
use super::words::normalized;

/// The column of clicks, which a log need not have if nobody named another.
pub const USUAL_CLICKS: &str = "clicks";

/// Where a log of purchases and clicks is.
#[derive(Debug, Clone)]
pub struct LogInput {
    /// Parquet, JSON Lines, CSV or TSV.
    pub path: PathBuf,
    /// Column of the query.
    pub query_column: String,
    /// Column of the product's id.
    pub product_column: String,
    /// Column of the number of people who bought the product with the query.
    pub buyers_column: String,
    /// Column of the number of clicks; a file may lack it where it is [`USUAL_CLICKS`]. Where a file has it, rows with neither
    /// buyers nor clicks are impressions and say nothing; where it has none, every row is a click.
    pub clicks_column: String,
    /// The columns of a CSV or TSV file without a header line.
    pub header: Option<Vec<String>>,
}

/// One query and product with a click or a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Behaviour {
    pub(super) product: u32,
    pub(super) query: u32,
    /// People who bought it; 0 for a click.
    pub(super) buyers: u32,
}

/// A log as it is read: products by the numbers of their ids, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct RawLog {
    pub(super) products: Interner,
    pub(super) queries: Interner,
    pub(super) behaviours: Vec<Behaviour>,
    /// Rows that say nothing.
    pub(super) impressions: u64,
}

impl RawLog {
    /// # Errors
    /// If the file cannot be read, lacks a column, or has too many bad rows.
    pub(super) fn read(input: &LogInput, count: &mut RowCount) -> Result<Self, PairsError> {
        let required = [&input.query_column, &input.product_column, &input.buyers_column].map(String::clone).to_vec();
        let optional = vec![input.clicks_column.clone()];
        let fields = Fields::open(&input.path, &FieldOptions { required, optional, header: input.header.clone() })?;
        if input.clicks_column != USUAL_CLICKS {
            fields.require(&input.clicks_column)?;
        }
        let has_clicks = fields.has(3);
        let mut meter = Meter::new("log", fields.row_count());
        let mut log = Self::default();
        for row in fields {
            count.rows += 1;
            meter.step(1);
            let row = match row {
                Ok(row) => row,
                Err(bad) => {
                    count.unreadable("log", bad, &input.path)?;
                    continue;
                }
            };
            let mut bad = |code: &str, column: &str, what: &str| {
                count.bad(format_args!("log row {}: {code}: `{column}` {what}", row.row));
            };
            let [query, product] = [0, 1].map(|place: usize| texts(&row.values[place]).into_iter().next());
            let query = query.map(|query| normalized(&query)).unwrap_or_default();
            if query.is_empty() {
                bad("missing_query", &input.query_column, "is null or empty");
                continue;
            }
            let Some(product) = product else {
                bad("missing_id", &input.product_column, "is null or empty");
                continue;
            };
            let [Some(buyers), Some(clicks)] = [2, 3].map(|place: usize| integer(&row.values[place])) else {
                let wrong = if integer(&row.values[2]).is_none() { &input.buyers_column } else { &input.clicks_column };
                bad("invalid_count", wrong, "is not an integer from 0 on");
                continue;
            };
            if has_clicks && buyers == 0 && clicks == 0 {
                log.impressions += 1;
                continue;
            }
            let (query, product) = (log.queries.intern(&query), log.products.intern(&product));
            log.push(product, query, buyers);
        }
        Ok(log)
    }

    pub(super) fn push(&mut self, product: u32, query: u32, buyers: u64) {
        let buyers = u32::try_from(buyers).unwrap_or(u32::MAX);
        self.behaviours.push(Behaviour { product, query, buyers });
    }

    /// Brings the log into an order of its own. `place` tells a product's place in the catalogue; rows of products
    /// without one are left out. Also their number.
    pub(super) fn sorted(self, products: usize, place: impl Fn(u32) -> Option<u32>) -> (Log, u64) {
        let (queries, rank) = self.queries.sorted();
        let mut behaviours = self.behaviours;
        let rows = behaviours.len();
        behaviours.retain_mut(|behaviour| match place(behaviour.product) {
            Some(product) => {
                *behaviour = Behaviour { product, query: rank[behaviour.query as usize], ..*behaviour };
                true
            }
            None => false,
        });
        let unknown = rows - behaviours.len();
        behaviours.sort_unstable();
        behaviours.dedup_by(|row, kept| {
            let same = (row.product, row.query) == (kept.product, kept.query);
            if same {
                kept.buyers = kept.buyers.saturating_add(row.buyers);
            }
            same
        });
        let mut starts = vec![0; products + 1];
        for behaviour in &behaviours {
            starts[behaviour.product as usize + 1] += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        (Log { queries, behaviours, starts }, unknown as u64)
    }
}

/// A log in order: by the products' places in the catalogue, then by the queries' texts; one entry for a query and
/// product, the buyers of its rows added up.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) queries: Interner,
    behaviours: Vec<Behaviour>,
    /// Where each product's entries start, and where the last one's end.
    starts: Vec<usize>,
}

impl Log {
    pub(super) fn len(&self) -> usize {
        self.behaviours.len()
    }

    /// A product's queries, in the order of their texts.
    pub(super) fn of_product(&self, product: usize) -> &[Behaviour] {
        &self.behaviours[self.starts[product]..self.starts[product + 1]]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Behaviour> {
        self.behaviours.iter()
    }

    /// Takes the number of products that a query describes for the number of buyers of each.
    pub(super) fn count_products_as_buyers(&mut self) {
        let mut products = vec![0u32; self.queries.len()];
        for behaviour in &self.behaviours {
            products[behaviour.query as usize] += 1;
        }
        for behaviour in &mut self.behaviours {
            behaviour.buyers = products[behaviour.query as usize];
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    pub(in crate::pairs) fn input(path: &std::path::Path) -> LogInput {
        LogInput {
            path: path.to_owned(),
            query_column: "query".to_owned(),
            product_column: "product".to_owned(),
            buyers_column: "buyers".to_owned(),
            clicks_column: "clicks".to_owned(),
            header: None,
        }
    }

    /// A log over products by their places.
    pub(in crate::pairs) fn log(products: usize, rows: &[(&str, u32, u64)]) -> Log {
        let mut raw = RawLog::default();
        for &(query, product, buyers) in rows {
            let query = raw.queries.intern(query);
            raw.push(product, query, buyers);
        }
        raw.sorted(products, Some).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: &str) -> (Vec<String>, RawLog, RowCount) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let mut count = RowCount::default();
        let raw = RawLog::read(&testing::input(&path), &mut count).unwrap();
        let text =
            |b: &Behaviour| format!("{} {} {}", raw.products.text(b.product), raw.queries.text(b.query), b.buyers);
        (raw.behaviours.iter().map(text).collect(), raw, count)
    }

    #[test]
    fn bad_rows_are_told_and_the_others_read() {
        let (rows, _, count) = read(
            "log.csv",
            "query,product,buyers\nBlack  Shirt,7,3\n,7,1\nshirt,,1\nshirt,7,many\nshirt,7\nshirt,8,\n连衣裙,8,2\n",
        );
        assert_eq!(rows, ["7 black shirt 3", "8 shirt 0", "8 连衣裙 2"]);
        assert_eq!((count.rows, count.bad), (7, 4));
        assert_eq!(count.named[0], "log row 2: missing_query: `query` is null or empty");
        assert_eq!(count.named[1], "log row 3: missing_id: `product` is null or empty");
        assert_eq!(count.named[2], "log row 4: invalid_count: `buyers` is not an integer from 0 on");
        assert!(count.named[3].starts_with("log row 5: field_count"), "{:?}", count.named);
    }

    #[test]
    fn with_clicks_a_row_without_any_is_an_impression() {
        let lines = "{\"query\":\"a\",\"product\":1,\"buyers\":0,\"clicks\":0}\n\
                     {\"query\":\"a\",\"product\":2,\"buyers\":0,\"clicks\":4}\n\
                     {\"query\":\"a\",\"product\":3,\"buyers\":2,\"clicks\":0}\n";
        let (rows, raw, _) = read("log.jsonl", lines);
        assert_eq!(rows, ["2 a 0", "3 a 2"]);
        assert_eq!(raw.impressions, 1);
    }

    #[test]
    fn rows_of_one_query_and_product_are_added_up() {
        let mut raw = RawLog::default();
        for (query, product, buyers) in
            [("b", 1, 1), ("a", 1, 0), ("b", 0, 1), ("b", 1, 2), ("a", 9, 5), ("b", 1, u64::MAX)]
        {
            let query = raw.queries.intern(query);
            raw.push(product, query, buyers);
        }
        let (mut log, unknown) = raw.sorted(3, |product| (product < 3).then_some(product));
        assert_eq!((unknown, log.len()), (1, 3));
        let rows = |log: &Log, product| {
            log.of_product(product).iter().map(|b| (log.queries.text(b.query).to_owned(), b.buyers)).collect::<Vec<_>>()
        };
        assert_eq!(rows(&log, 0), [("b".to_owned(), 1)]);
        assert_eq!(rows(&log, 1), [("a".to_owned(), 0), ("b".to_owned(), u32::MAX)]);
        assert!(rows(&log, 2).is_empty());
        log.count_products_as_buyers();
        assert_eq!(rows(&log, 1), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    }
}
