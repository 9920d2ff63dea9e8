//! Batches assembled by a thread ahead of the device.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::{Assembler, BatchPlan, HostBatch};
use crate::TrainError;

/// Batches made ahead: enough to hide a slow one, few enough to cost little memory.
const AHEAD: usize = 4;

/// Batches in the order of their plans.
#[derive(Debug)]
pub struct Batches {
    receiver: Receiver<Result<HostBatch, String>>,
    left: usize,
}

/// Starts a thread that assembles the plans in order, ahead of whoever takes `together` of them at a time. It ends when all are
/// made or the receiver is dropped.
pub fn prefetch(assembler: &Assembler, plans: Vec<BatchPlan>, together: usize) -> Batches {
    let (sender, receiver) = sync_channel(together.max(AHEAD));
    let assembler = assembler.clone();
    let left = plans.len();
    thread::spawn(move || {
        for plan in &plans {
            if sender.send(assembler.assemble(plan)).is_err() {
                return;
            }
        }
    });
    Batches { receiver, left }
}

impl Iterator for Batches {
    type Item = Result<HostBatch, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        Some(match self.receiver.recv() {
            Ok(batch) => batch.map_err(TrainError::Batch),
            Err(_) => Err(TrainError::Batch("the thread that makes batches has ended".into())),
        })
    }
}
