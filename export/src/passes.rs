//! Graph rewrites. Each keeps what the graph computes and can be run by itself.

mod batch_norm;
mod dead;
mod fold;
mod half;
mod linear;
mod names;
mod share;
mod simplify;
#[cfg(test)]
mod tests;

pub use batch_norm::fold_batch_norm;
pub use dead::{compact, remove_dead};
pub use fold::{fold_ranges, fold_reshapes, fold_slices};
pub use half::to_half;
pub use linear::restore_linear;
pub use names::name_nodes;
pub use share::{share_nodes, share_sources, share_weights};
pub use simplify::simplify;

use crate::graph::Graph;

/// What is done to each trace, so that traces of one forward have one form.
pub(crate) fn canonicalize(graph: &mut Graph) {
    fold_reshapes(graph);
    restore_linear(graph);
    share_sources(graph);
    compact(graph);
}

/// What is done to the solved graph before it is written.
pub(crate) fn optimize(graph: &mut Graph) {
    // Before new weights are made, which would tell equal convolutions apart.
    share_nodes(graph);
    remove_dead(graph);
    fold_batch_norm(graph);
    loop {
        let before = (graph.nodes.len(), graph.weights.len());
        simplify(graph);
        fold_ranges(graph);
        fold_reshapes(graph);
        fold_slices(graph);
        share_nodes(graph);
        remove_dead(graph);
        if before == (graph.nodes.len(), graph.weights.len()) {
            break;
        }
    }
    share_weights(graph);
    compact(graph);
    name_nodes(graph);
}
