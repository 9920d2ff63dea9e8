//! One batch as several, for devices that compute it together.

use std::ops::Range;

use super::batch::{HostBatch, HostTags, HostText};
use super::masking::Hidden;

/// How much of a batch a part of it is: the shares of what its losses are averaged over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Portion {
    /// Of the rows.
    pub rows: f64,
    /// Of the tokens that stage 1 predicts.
    pub tokens: f64,
    /// Of the patches that stage 1 predicts.
    pub patches: f64,
}

impl Portion {
    /// All of it.
    pub const WHOLE: Self = Self { rows: 1.0, tokens: 1.0, patches: 1.0 };

    /// How much each of several batches is of all of them.
    pub fn of_each(batches: &[HostBatch]) -> Vec<Self> {
        let counts: Vec<[usize; 3]> = batches.iter().map(HostBatch::counts).collect();
        let all = counts.iter().fold([0; 3], |sum, count| [0, 1, 2].map(|what| sum[what] + count[what]));
        counts.into_iter().map(|count| Self::of(count, all)).collect()
    }

    /// A share of a share.
    pub fn within(self, whole: Self) -> Self {
        Self { rows: self.rows * whole.rows, tokens: self.tokens * whole.tokens, patches: self.patches * whole.patches }
    }

    /// That of so many rows, tokens and patches among all of them.
    fn of(part: [usize; 3], all: [usize; 3]) -> Self {
        let [rows, tokens, patches] =
            [0, 1, 2].map(|what| if all[what] == 0 { 0.0 } else { part[what] as f64 / all[what] as f64 });
        Self { rows, tokens, patches }
    }
}

impl HostBatch {
    /// Cuts a batch into at most `parts` parts of consecutive rows, as equal as can be. Means over the parts' rows, tokens and
    /// patches, weighted by their portions, are those of the batch; padding stays what it was.
    pub fn split(self, parts: usize) -> Vec<(Self, Portion)> {
        // Rows that share a product stay together.
        let units = if self.tags.is_some() { self.products.len() } else { self.rows() };
        let parts = parts.min(units);
        if parts < 2 {
            return vec![(self, Portion::WHOLE)];
        }
        let start = |number: usize| match &self.tags {
            Some(tags) => tags.first_row(units * number / parts),
            None => units * number / parts,
        };
        let part = |number: usize| {
            let rows = start(number)..start(number + 1);
            (self.part(rows.clone()), self.portion(rows))
        };
        (0..parts).map(part).collect()
    }

    /// What belongs to products, of some of them.
    fn of_products(&self, cut: &Cut) -> Self {
        Self {
            products: cut.of(&self.products),
            text: self.text.as_ref().map(|text| cut.text(text)),
            pixels: self.pixels.as_ref().map(|pixels| cut.of(pixels)),
            present: self.present.as_ref().map(|present| cut.of(present)),
            side: self.side,
            ..Self::default()
        }
    }

    /// Some of the rows, with all that belongs to them.
    fn part(&self, rows: Range<usize>) -> Self {
        let products = self.products.len();
        let cut = match &self.tags {
            Some(tags) => Cut { all: products, products, rows: tags.products(rows.clone()) },
            None => Cut { all: self.rows(), products, rows: rows.clone() },
        };
        Self {
            positions: self.positions[rows.clone()].to_vec(),
            labels: self.labels[rows.clone()].to_vec(),
            queries: self.queries.as_ref().map(|text| cut.text(text)),
            tags: self.tags.as_ref().map(|tags| cut.tags(tags, rows.clone())),
            row_modalities: self
                .row_modalities
                .as_ref()
                .map(|both| both.each_ref().map(|has| has[rows.clone()].to_vec())),
            hidden: self.hidden.as_ref().map(|hidden| cut.hidden(hidden)),
            teacher: self.teacher.as_ref().map(|teacher| Box::new(teacher.part(rows))),
            ..self.of_products(&cut)
        }
    }

    fn portion(&self, rows: Range<usize>) -> Portion {
        let within = |row: usize| rows.contains(&row);
        let (tokens, patches) = self.hidden.as_ref().map_or((0, 0), |hidden| {
            let tokens = hidden.tokens.iter().filter(|&&(row, ..)| within(row)).count();
            let patches = hidden.patches.iter().filter(|&&(row, _)| within(row)).count();
            (tokens, patches)
        });
        Portion::of([rows.len(), tokens, patches], self.counts())
    }

    /// Rows, and the tokens and patches to be predicted.
    fn counts(&self) -> [usize; 3] {
        let (tokens, patches) =
            self.hidden.as_ref().map_or((0, 0), |hidden| (hidden.tokens.len(), hidden.patches.len()));
        [self.rows(), tokens, patches]
    }
}

impl HostTags {
    /// The first row of a product; of the product after the last, the number of rows.
    fn first_row(&self, product: usize) -> usize {
        self.places.partition_point(|&place| (place as usize) < product * self.most)
    }

    /// The products of some rows, at least one.
    fn products(&self, rows: Range<usize>) -> Range<usize> {
        let product = |row: usize| self.places[row] as usize / self.most;
        product(rows.start)..product(rows.end - 1) + 1
    }
}

/// Products of a batch: rows with one product each or, where two are compared, with one of each half.
struct Cut {
    all: usize,
    products: usize,
    rows: Range<usize>,
}

impl Cut {
    /// What belongs to the rows' products, of values that belong to products.
    fn of<T: Clone>(&self, values: &[T]) -> Vec<T> {
        let each = values.len() / self.products;
        (0..self.products)
            .step_by(self.all)
            .flat_map(|half| &values[(half + self.rows.start) * each..(half + self.rows.end) * each])
            .cloned()
            .collect()
    }

    fn text(&self, text: &HostText) -> HostText {
        HostText {
            input_ids: self.of(&text.input_ids),
            attention_mask: text.attention_mask.as_ref().map(|mask| self.of(mask)),
            token_type_ids: self.of(&text.token_type_ids),
            longest: text.longest,
        }
    }

    /// The tags of `rows`, whose products these are. A product whose rows lie in several parts keeps the places of all of its tags.
    fn tags(&self, tags: &HostTags, rows: Range<usize>) -> HostTags {
        let moved = (self.rows.start * tags.most) as i64;
        HostTags {
            ids: self.of(&tags.ids),
            mask: self.of(&tags.mask),
            places: tags.places[rows].iter().map(|place| place - moved).collect(),
            ..*tags
        }
    }

    /// Rows are counted from the part's first.
    fn hidden(&self, hidden: &Hidden) -> Hidden {
        let Range { start, .. } = self.rows;
        let patches = hidden.source.len() / self.all;
        let moved = (start * patches) as i64;
        let own = |row: usize| self.rows.contains(&row);
        Hidden {
            tokens: hidden
                .tokens
                .iter()
                .filter(|t| own(t.0))
                .map(|&(row, token, id)| (row - start, token, id))
                .collect(),
            patches: hidden.patches.iter().filter(|p| own(p.0)).map(|&(row, patch)| (row - start, patch)).collect(),
            masked: self.of(&hidden.masked),
            source: self.of(&hidden.source).into_iter().map(|source| source - moved).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_portions_of_all_of_them() {
        let whole = batch(false);
        let parts: Vec<(HostBatch, Portion)> = whole.split(3);
        let (batches, portions): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        assert_eq!(Portion::of_each(&batches), portions);
    }

    /// Five rows of two tokens, four pixels and two patches; of twice as many products where two are compared.
    fn batch(compared: bool) -> HostBatch {
        let products = if compared { 10 } else { 5 };
        let text = HostText {
            input_ids: (0..2 * products).collect(),
            attention_mask: Some((0..2 * products).map(|place| place % 3).collect()),
            token_type_ids: vec![0; 2 * products as usize],
            longest: 2,
        };
        HostBatch {
            products: (0..products).map(|product| format!("p{product}")).collect(),
            positions: vec![0, 1, 2, 4, 5],
            labels: vec![1, 0, 1, 0, 1],
            queries: Some(text.clone()),
            text: Some(text),
            pixels: Some((0..4 * products).map(|pixel| pixel as f32).collect()),
            present: Some((0..products).map(|product| product as f32).collect()),
            tags: None,
            teacher: None,
            row_modalities: Some([vec![1.0, 0.0, 1.0, 1.0, 1.0], vec![1.0, 1.0, 0.0, 1.0, 0.0]]),
            hidden: (!compared).then(|| Hidden {
                tokens: vec![(0, 1, 7), (2, 0, 8), (4, 1, 9)],
                patches: vec![(1, 0), (3, 1), (4, 0), (4, 1)],
                masked: (0..10).map(|patch| patch % 2 == 0).collect(),
                source: vec![0, 1, 3, 2, 4, 5, 7, 6, 9, 8],
            }),
            side: 2,
        }
    }

    #[test]
    fn parts_hold_every_row_once_with_all_that_belongs_to_it() {
        let parts = batch(false).split(2);
        assert_eq!(parts.len(), 2);
        let (first, second) = (&parts[0], &parts[1]);
        assert_eq!((first.0.rows(), second.0.rows()), (2, 3));
        assert_eq!(second.0.products, ["p2", "p3", "p4"]);
        assert_eq!(second.0.positions, [2, 4, 5]);
        assert_eq!(second.0.row_modalities, Some([vec![1.0; 3], vec![0.0, 1.0, 0.0]]));
        assert_eq!(second.0.pixels.as_ref().unwrap()[0], 8.0);
        assert_eq!(second.0.text.as_ref().unwrap().input_ids, [4, 5, 6, 7, 8, 9]);
        let hidden = second.0.hidden.as_ref().unwrap();
        assert_eq!(hidden.tokens, [(0, 0, 8), (2, 1, 9)]);
        assert_eq!(hidden.patches, [(1, 1), (2, 0), (2, 1)]);
        assert_eq!(hidden.source, [0, 1, 3, 2, 5, 4], "patches are counted from the part's first row");
        assert_eq!(second.1, Portion { rows: 0.6, tokens: 2.0 / 3.0, patches: 0.75 });
        assert_eq!(first.1, Portion { rows: 0.4, tokens: 1.0 / 3.0, patches: 0.25 });
    }

    #[test]
    fn compared_products_stay_together() {
        let parts = batch(true).split(3);
        assert_eq!(parts.iter().map(|(part, _)| part.rows()).collect::<Vec<_>>(), [1, 2, 2]);
        assert_eq!(parts[1].0.products, ["p1", "p2", "p6", "p7"]);
        assert_eq!(parts[1].0.present, Some(vec![1.0, 2.0, 6.0, 7.0]));
    }

    #[test]
    fn tags_stay_with_their_product() {
        let tags = HostTags {
            ids: (0..20).collect(),
            mask: vec![1; 20],
            most: 2,
            text: 2,
            places: vec![0, 1, 2, 4, 5, 6, 8],
            title_position: 9,
        };
        let apart = HostBatch {
            tags: Some(tags),
            positions: (0..7).collect(),
            labels: vec![0, 1, 0, 1, 0, 1, 0],
            queries: None,
            row_modalities: None,
            hidden: None,
            ..batch(false)
        };
        let parts = apart.split(2);
        let (second, portion) = &parts[1];
        assert_eq!((second.products.join(""), second.rows()), ("p2p3p4".to_owned(), 4));
        let tags = second.tags.as_ref().unwrap();
        assert_eq!((&tags.places, tags.ids[0], tags.ids.len()), (&vec![0, 1, 2, 4], 8, 12));
        assert_eq!((&second.positions, portion.rows), (&vec![3, 4, 5, 6], 4.0 / 7.0));
        assert_eq!(parts[0].0.rows() + second.rows(), 7);
    }

    #[test]
    fn what_a_teacher_reads_is_cut_at_the_same_rows() {
        let tags = HostTags {
            ids: (0..8).collect(),
            mask: vec![1; 8],
            most: 4,
            text: 1,
            places: vec![0, 1, 2, 4, 5],
            title_position: 9,
        };
        let by_teacher = HostBatch {
            tags: Some(tags),
            positions: vec![0, 1, 2, 4, 5],
            labels: vec![1, 0, 1, 0, 1],
            products: vec!["a".into(), "b".into()],
            pixels: Some(vec![1.0, 2.0]),
            ..HostBatch::default()
        };
        let parts = HostBatch { teacher: Some(Box::new(by_teacher)), ..batch(false) }.split(2);
        let read: Vec<&HostBatch> = parts.iter().map(|(part, _)| part.teacher.as_deref().unwrap()).collect();
        for (by_teacher, (part, _)) in read.iter().zip(&parts) {
            assert_eq!((&by_teacher.positions, &by_teacher.labels), (&part.positions, &part.labels));
        }
        // The third row's product is read in both parts.
        assert_eq!((read[0].products.join(""), &read[0].tags.as_ref().unwrap().places), ("a".into(), &vec![0, 1]));
        assert_eq!((read[1].products.join(""), &read[1].tags.as_ref().unwrap().places), ("ab".into(), &vec![2, 4, 5]));
        assert_eq!(read[1].pixels, Some(vec![1.0, 2.0]));
    }

    #[test]
    fn there_are_no_empty_parts() {
        assert_eq!(batch(false).split(9).len(), 5);
        let whole = batch(false).split(1);
        assert_eq!((whole.len(), whole[0].0.rows(), whole[0].1), (1, 5, Portion::WHOLE));
        assert_eq!(HostBatch::default().split(4).len(), 1);
    }
}
