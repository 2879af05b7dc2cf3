//! Who does an operation: one client, or two at once on two CPUs.
//!
//! Invariant: the clients of a crew begin together, and share the operations equally.

use std::sync::Barrier;
use std::thread;

use anyhow::{Result, anyhow};

use super::crowd::Crowd;
use super::operation::{Client, Kind, Operation};
use crate::bench::machine;

/// The clients of one arm.
#[derive(Debug)]
pub(super) struct Crew<'a> {
    first: Client<'a>,
    second: Option<Client<'a>>,
    second_cpu: usize,
}

impl<'a> Crew<'a> {
    /// The first client works on the CPU of the calling thread.
    pub(super) fn hire(
        operation: &Operation,
        crowd: &'a Crowd<'a>,
        second_cpu: usize,
    ) -> Result<Self> {
        let client = || Client::new(operation, crowd);
        let second = (operation.kind == Kind::ContendedConnect).then(client).transpose()?;
        Ok(Self { first: client()?, second, second_cpu })
    }

    /// Does the operation so many times; adds what each time took, in nanoseconds.
    pub(super) fn work(&mut self, operations: usize, samples: &mut Vec<u64>) -> Result<()> {
        let Some(second) = &mut self.second else {
            return repeat(&mut self.first, operations, samples);
        };
        let (first, cpu, start) = (&mut self.first, self.second_cpu, Barrier::new(2));
        let (own, others) = thread::scope(|scope| {
            let other = scope.spawn(|| {
                let pinned = machine::pin_to(cpu);
                let mut samples = Vec::with_capacity(operations);
                start.wait();
                pinned.and_then(|()| repeat(second, operations / 2, &mut samples)).map(|()| samples)
            });
            start.wait();
            (repeat(first, operations / 2, samples), other.join())
        });
        own?;
        samples.extend(others.map_err(|_panic| anyhow!("the second client panicked"))??);
        Ok(())
    }
}

fn repeat(client: &mut Client<'_>, operations: usize, samples: &mut Vec<u64>) -> Result<()> {
    for _ in 0..operations {
        samples.push(client.once()?);
    }
    Ok(())
}
