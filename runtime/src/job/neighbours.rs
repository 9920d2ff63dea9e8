//! The same product twice in a catalogue: candidates by the nearest neighbours of each product's vector, decided by the pair head.

mod index;

use std::collections::BTreeMap;
use std::path::Path;

use mbsd_data::{ColumnType, reads};
use mbsd_spec::{RowError, Task};
use serde_json::Value;

use super::JobError;
use super::align::{PAIR_BATCH, PairRun, pair_logits};
use super::model::Model;
use super::output::{Field, FieldType, OutputColumn, OutputFile};
use super::pipeline::Plan;
use super::summary::Summary;
use super::tasks::{Catalogue, Done, sigmoid};
use index::{Index, unit};

/// How pairs are found, and which of them are the same.
#[derive(Debug)]
pub struct NeighbourOptions<'a> {
    /// Nearest neighbours that are candidates of a product.
    pub neighbours: usize,
    /// Least cosine of the vectors of a candidate pair.
    pub min_similarity: f32,
    /// Probability from which a pair is the same; the bundle's where `None`.
    pub threshold: Option<f32>,
    /// File for the groups of same products.
    pub groups: Option<&'a Path>,
}

/// Finds pairs of same products. Output columns: `source` and `target`, the earlier product first; `similarity`, the cosine of their vectors;
/// `score`, `match`, `error` as of [`super::align`]. A row a candidate pair, in the order of the products; a product without a vector has a row
/// of its own, without a target.
///
/// `groups` gets a row a product that is the same as another: `id`, `group` (the id of the group's first product) and `size`. A group is
/// what pairs join, directly or through others.
///
/// Vectors are held in memory, 4 bytes times the hidden size each, and about 300 bytes for the index. The same input gives the same output,
/// whatever the number of threads.
///
/// # Errors
/// See [`JobError`].
pub fn find_pairs(model: &Model, options: &NeighbourOptions<'_>, job: Catalogue<'_>) -> Result<Summary, JobError> {
    model.require(Task::Alignment)?;
    let path = job.output.one_file()?;
    let mut output = OutputFile::create(path, &pair_columns(), &[job.input])?;
    if options.groups.is_some_and(|groups| reads(path, groups)) {
        return Err(JobError::Setting(format!("--groups {} is the output as well", path.display())));
    }
    let groups = options.groups.map(|path| OutputFile::create(path, &group_columns(), &[job.input])).transpose()?;
    let plan = Plan::vectors(job.session, job.workers, None);
    let progress = |rows| (job.progress)(Done { rows, ..Done::default() });
    let run = PairRun { model, plan: &plan, progress: &progress };
    let (mut ids, mut vectors, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut summary = run.each_vector(job.products, |id, vector| match (id, vector) {
        (Some(id), Ok(vector)) => {
            ids.push(id);
            vectors.push(vector);
        }
        (id, Err(error)) => failed.push((id, error)),
        (None, Ok(_)) => {}
    })?;
    let start = std::time::Instant::now();
    let threads = job.workers.sessions * job.workers.session_threads;
    let candidates =
        Index::build(vectors.iter().map(|vector| unit(vector)).collect(), threads)?.pairs(options.neighbours);
    let threshold = options.threshold.unwrap_or(model.threshold);
    let mut same = Components::new(ids.len());
    let mut head = run.head()?;
    let near: Vec<(usize, usize, f32)> =
        candidates.into_iter().filter(|&(_, _, similarity)| similarity >= options.min_similarity).collect();
    for batch in near.chunks(PAIR_BATCH) {
        let pairs = batch.iter().map(|&(a, b, _)| Ok((vectors[a].as_slice(), vectors[b].as_slice())));
        for (&(a, b, similarity), logit) in batch.iter().zip(pair_logits(head.as_mut(), pairs)?) {
            let result = match logit {
                Ok(logit) => {
                    summary.count_scored();
                    let score = sigmoid(logit);
                    if score >= threshold {
                        same.join(a, b);
                    }
                    [Field::Score(score), Field::Bool(score >= threshold), Field::Null]
                }
                Err(error) => without_result(&mut summary, &error),
            };
            let mut row = vec![Field::text(Some(&ids[a])), Field::text(Some(&ids[b])), Field::Score(similarity)];
            row.extend(result);
            output.write(&row)?;
        }
    }
    for (id, error) in failed {
        let mut row = vec![Field::text(id), Field::Null, Field::Null];
        row.extend(without_result(&mut summary, &error));
        output.write(&row)?;
    }
    output.finish()?;
    if let Some(mut file) = groups {
        for group in same.groups() {
            for &member in &group {
                let size = Field::Value(Value::from(group.len()));
                file.write(&[Field::text(Some(&ids[member])), Field::text(Some(&ids[group[0]])), size])?;
            }
        }
        file.finish()?;
    }
    summary.seconds += start.elapsed().as_secs_f64();
    Ok(summary)
}

fn pair_columns() -> [OutputColumn; 6] {
    [
        OutputColumn::new("source", FieldType::Text),
        OutputColumn::new("target", FieldType::Text),
        OutputColumn::new("similarity", FieldType::Score),
        OutputColumn::new("score", FieldType::Score),
        OutputColumn::new("match", FieldType::Bool),
        OutputColumn::new("error", FieldType::Text),
    ]
}

fn group_columns() -> [OutputColumn; 3] {
    [
        OutputColumn::new("id", FieldType::Text),
        OutputColumn::new("group", FieldType::Text),
        OutputColumn::new("size", FieldType::Input(ColumnType::Int)),
    ]
}

fn without_result(summary: &mut Summary, error: &RowError) -> [Field; 3] {
    summary.count_error(error);
    [Field::Null, Field::Null, Field::text(Some(error.to_string()))]
}

/// Sets of members that are joined, directly or through others (union-find).
struct Components {
    parents: Vec<usize>,
}

impl Components {
    fn new(members: usize) -> Self {
        Self { parents: (0..members).collect() }
    }

    /// The least member of a set.
    fn root(&mut self, mut member: usize) -> usize {
        while self.parents[member] != member {
            self.parents[member] = self.parents[self.parents[member]];
            member = self.parents[member];
        }
        member
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }

    /// The sets of two members and more, and their members, in order.
    fn groups(mut self) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for member in 0..self.parents.len() {
            groups.entry(self.root(member)).or_default().push(member);
        }
        groups.into_values().filter(|group| group.len() > 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_through_others_is_a_group() {
        let mut components = Components::new(7);
        for (a, b) in [(4, 5), (1, 3), (5, 1), (6, 6)] {
            components.join(a, b);
        }
        assert_eq!(components.groups(), [vec![1, 3, 4, 5]]);
    }
}
