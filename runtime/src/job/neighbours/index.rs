//! Nearest neighbours of vectors: a hierarchical navigable small world graph (Malkov and Yashunin, 2016).

use instant_distance::{Builder, Hnsw, Point, PointId, Search};
use rayon::prelude::*;

use crate::job::JobError;

/// Candidates looked at when a vector is put in, and when its neighbours are looked for.
const EF: usize = 128;

/// Of the layers that vectors are put on.
const SEED: u64 = 20_230_227;

/// A vector of length 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit(Box<[f32]>);

/// The vector of length 1 in a vector's direction; 0 stays 0.
pub(super) fn unit(vector: &[f32]) -> Unit {
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    Unit(vector.iter().map(|x| if length > 0.0 { (f64::from(*x) / length) as f32 } else { 0.0 }).collect())
}

/// Sums that do not wait for each other.
const LANES: usize = 16;

impl Unit {
    fn cosine(&self, other: &Self) -> f32 {
        let (a, b) = (self.0.chunks_exact(LANES), other.0.chunks_exact(LANES));
        let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
        let mut sums = [0.0; LANES];
        for (a, b) in a.zip(b) {
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
        sums.iter().sum::<f32>() + rest
    }
}

impl Point for Unit {
    fn distance(&self, other: &Self) -> f32 {
        1.0 - self.cosine(other)
    }
}

/// Vectors that neighbours can be looked for among.
pub(super) struct Index {
    graph: Hnsw<Unit>,
    /// Where in the graph each vector is.
    places: Vec<PointId>,
    pool: rayon::ThreadPool,
}

impl Index {
    /// Puts the vectors in, on one thread: on several, the graph would depend on which comes first. Later searches run on `threads`.
    pub(super) fn build(vectors: Vec<Unit>, threads: usize) -> Result<Self, JobError> {
        let pool = |threads: usize| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .map_err(|error| JobError::Setting(format!("no threads for the index: {error}")))
        };
        let builder = Builder::default().seed(SEED).ef_construction(EF).ef_search(EF);
        let (graph, places) = pool(1)?.install(|| builder.build_hnsw(vectors));
        Ok(Self { graph, places, pool: pool(threads.max(1))? })
    }

    /// Pairs of vectors of which one is among the `neighbours` nearest of the other, the earlier first, with their cosine; in order.
    pub(super) fn pairs(&self, neighbours: usize) -> Vec<(usize, usize, f32)> {
        let mut members = vec![0; self.places.len()];
        for (member, place) in self.places.iter().enumerate() {
            members[place.into_inner() as usize] = member;
        }
        let near = |search: &mut Search, member: usize| -> Vec<(usize, usize, f32)> {
            let own = &self.graph[self.places[member]];
            self.graph
                .search(own, search)
                .map(|found| (members[found.pid.into_inner() as usize], found.point))
                .filter(|(other, _)| *other != member)
                .take(neighbours)
                .map(|(other, point)| (member.min(other), member.max(other), own.cosine(point)))
                .collect()
        };
        let mut pairs: Vec<_> = self.pool.install(|| {
            (0..self.places.len()).into_par_iter().map_init(Search::default, near).flatten_iter().collect()
        });
        pairs.sort_by_key(|pair| (pair.0, pair.1));
        pairs.dedup_by_key(|pair| (pair.0, pair.1));
        pairs
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Vectors around centres, some of them twice.
    fn vectors(count: usize, width: usize) -> Vec<Unit> {
        let mut seed = 1_u64;
        let mut next = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let centres: Vec<Vec<f32>> = (0..count / 20).map(|_| (0..width).map(|_| next()).collect()).collect();
        let mut all: Vec<Unit> = Vec::new();
        for row in 0..count {
            match row % 10 {
                9 => all.push(all[row - 5].clone()),
                _ => {
                    let centre = &centres[row * 7 % centres.len()];
                    all.push(unit(&centre.iter().map(|x| x + 0.5 * next()).collect::<Vec<_>>()));
                }
            }
        }
        all
    }

    fn exact(vectors: &[Unit], neighbours: usize) -> BTreeSet<(usize, usize)> {
        let near = |a: usize| {
            let mut others: Vec<usize> = (0..vectors.len()).filter(|&b| b != a).collect();
            others.sort_by(|&b, &c| vectors[a].cosine(&vectors[c]).total_cmp(&vectors[a].cosine(&vectors[b])));
            others.truncate(neighbours);
            others.into_iter().map(move |b| (a.min(b), a.max(b)))
        };
        (0..vectors.len()).flat_map(near).collect()
    }

    #[test]
    fn nearly_all_neighbours_of_an_exact_search_are_found() {
        let vectors = vectors(1500, 48);
        let found = Index::build(vectors.clone(), 2).unwrap().pairs(5);
        let exact = exact(&vectors, 5);
        let right = found.iter().filter(|(a, b, _)| exact.contains(&(*a, *b))).count();
        let recall = right as f64 / exact.len() as f64;
        println!("recall of 5 neighbours among 1500: {recall:.4}");
        assert!(recall >= 0.97, "{recall}");
        let twins = (0..1500).filter(|row| row % 10 == 9).map(|row| (row - 5, row));
        let pairs: BTreeSet<_> = found.iter().map(|&(a, b, _)| (a, b)).collect();
        assert!(twins.clone().all(|twin| pairs.contains(&twin)), "a product that is there twice is found");
        assert!(found.iter().all(|&(a, b, cosine)| a < b && (-1.001..=1.001).contains(&cosine)));
    }

    #[test]
    fn threads_make_no_difference() {
        let vectors = vectors(600, 20);
        let pairs = |threads| Index::build(vectors.clone(), threads).unwrap().pairs(4);
        let one = pairs(1);
        assert!(pairs(4) == one && pairs(3) == one);
        assert!(Index::build(Vec::new(), 2).unwrap().pairs(3).is_empty());
        assert!(Index::build(vectors[..1].to_vec(), 2).unwrap().pairs(3).is_empty());
    }
}
