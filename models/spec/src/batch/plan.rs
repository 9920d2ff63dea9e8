//! Which rows go together: sorted by length and cut by token budget, so that little is spent on padding.

/// How large a batch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Tokens of a batch, padding included: rows times the longest row. A longer row is a batch of its own.
    pub max_tokens: usize,
    /// Rows of a batch; 0 counts as 1.
    pub max_rows: usize,
}

/// Distributes rows of the given lengths (in tokens) over batches; each batch lists row indices, shorter rows first,
/// rows of one length in their order.
///
/// Every row is in exactly one batch. The result depends on `lengths` and `limits` alone.
pub fn plan(lengths: &[usize], limits: BatchLimits) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&row| lengths[row]);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for row in order {
        match batches.last_mut() {
            Some(batch)
                if batch.len() < limits.max_rows
                    && (batch.len() + 1).saturating_mul(lengths[row]) <= limits.max_tokens =>
            {
                batch.push(row);
            }
            _ => batches.push(vec![row]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_of_one_length_keep_their_order() {
        let limits = BatchLimits { max_tokens: 30, max_rows: 8 };
        assert_eq!(plan(&[10, 3, 10, 3, 10, 10], limits), [vec![1, 3, 0], vec![2, 4, 5]]);
        assert_eq!(plan(&[], limits), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn a_row_over_the_budget_goes_alone() {
        assert_eq!(plan(&[5, 50, 5], BatchLimits { max_tokens: 20, max_rows: 8 }), [vec![0, 2], vec![1]]);
        assert_eq!(plan(&[usize::MAX, usize::MAX], BatchLimits { max_tokens: 20, max_rows: 8 }).len(), 2);
    }

    #[test]
    fn no_limit_of_rows_means_one() {
        assert_eq!(plan(&[1, 1], BatchLimits { max_tokens: 20, max_rows: 0 }), [vec![0], vec![1]]);
    }

    proptest! {
        #[test]
        fn every_row_goes_once_and_the_budget_holds(
            lengths in prop::collection::vec(0usize..200, 0..300),
            max_tokens in 1usize..2000,
            max_rows in 1usize..70,
        ) {
            let limits = BatchLimits { max_tokens, max_rows };
            let batches = plan(&lengths, limits);
            let mut seen: Vec<usize> = batches.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for batch in &batches {
                let longest = batch.iter().map(|&row| lengths[row]).max().unwrap();
                prop_assert!(batch.len() <= max_rows);
                prop_assert!(batch.len() == 1 || batch.len() * longest <= max_tokens);
            }
            prop_assert_eq!(plan(&lengths, limits), batches);
        }

        #[test]
        fn a_later_batch_has_no_shorter_row(
            lengths in prop::collection::vec(1usize..200, 1..300),
        ) {
            let batches = plan(&lengths, BatchLimits { max_tokens: 1000, max_rows: 64 });
            for pair in batches.windows(2) {
                let longest_before = lengths[*pair[0].last().unwrap()];
                prop_assert!(pair[1].iter().all(|&row| lengths[row] >= longest_before));
            }
        }
    }
}
