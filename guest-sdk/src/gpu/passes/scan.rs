//! Prefix sums of an array.

use std::marker::PhantomData;

use super::source;
use crate::gpu::{Bind, Buffer, Element, MAX_WORKGROUPS, Pipeline, Result, Stats, Submit};

/// Elements scanned by one workgroup.
const BLOCK: usize = 512;

/// Alignment of a bound slice, in elements.
const ALIGNED: usize = 64;

/// Inclusive prefix sums, in place: `data[i]` becomes `data[0] + … + data[i]`.
///
/// A run is 1 dispatch for up to 512 elements, 3 for up to 262,144, 5 for up to 33.5 million, and 2 more for each
/// further 33.5 million. It creates buffers for the sums of blocks, which have 1/511 of the size of `data` in total.
/// Integers wrap around. Floats are added in a tree, so the last digits differ from a sequential sum.
#[derive(Debug)]
pub struct Scan<T> {
    blocks: Pipeline,
    totals: Pipeline,
    of: PhantomData<fn() -> T>,
}

impl<T: Element> Scan<T> {
    /// Compiles both steps of the pass.
    ///
    /// # Errors
    /// As [`Pipeline::compile`].
    pub fn compile() -> Result<Self> {
        let wgsl = source::<T>("", include_str!("scan.wgsl"));
        let entry = |name| Pipeline::compile(&wgsl, name, &[]);
        Ok(Self { blocks: entry("scan_blocks")?, totals: entry("add_totals")?, of: PhantomData })
    }

    /// Replaces each element by the sum of all elements up to and including it.
    ///
    /// # Errors
    /// As [`Submit::run`], and as [`Buffer::new`] for the sums of blocks.
    pub fn run(&self, data: &Buffer<T>) -> Result<Stats> {
        let plan = Plan::new(data.len(), MAX_WORKGROUPS as usize);
        let totals = plan.totals.iter().map(|len| Buffer::new(*len)).collect::<Result<Vec<_>>>()?;
        let level = |at: usize| if at == 0 { Some(data) } else { totals.get(at - 1) };
        let slices: Vec<_> = plan
            .steps
            .iter()
            .filter_map(|step| {
                let (data, totals) = (level(step.level)?, level(step.level + 1)?);
                Some((step, data.slice(step.block * BLOCK..), totals.slice(step.block..)))
            })
            .collect();
        let mut submit = Submit::new();
        for (step, data, totals) in &slices {
            let pipeline = match step.kind {
                Kind::ScanBlocks => &self.blocks,
                Kind::AddTotals => &self.totals,
            };
            let buffers: [&dyn Bind; 2] = [data, totals];
            submit = submit.dispatch(pipeline, &buffers, step.groups);
        }
        Ok(submit.run()?.stats)
    }
}

/// The entry point of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ScanBlocks,
    AddTotals,
}

/// One dispatch over some blocks of a level. Level 0 is the data, level l + 1 the totals of level l.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    kind: Kind,
    level: usize,
    /// The first block. Data and totals are bound from this block.
    block: usize,
    groups: u32,
}

/// The dispatches of a scan.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Lengths of the levels above the data.
    totals: Vec<usize>,
    steps: Vec<Step>,
}

impl Plan {
    /// Plans a scan of `len` elements with at most `most` workgroups in a dispatch.
    fn new(len: usize, most: usize) -> Self {
        let mut totals = vec![len.div_ceil(BLOCK)];
        while let Some(blocks) = totals.last().copied().filter(|blocks| *blocks > 1) {
            totals.push(blocks.div_ceil(BLOCK));
        }
        // The next dispatch of a level starts at an aligned block. `add_totals` skips its first block, because the
        // data's first block has no predecessor. Therefore each dispatch begins with the last block of the previous
        // dispatch.
        let reach = most.saturating_sub(1) / ALIGNED * ALIGNED;
        let steps = |kind, level: usize, blocks: usize| {
            let overlap = usize::from(kind == Kind::AddTotals);
            (0..blocks.saturating_sub(overlap)).step_by(reach.max(ALIGNED)).map(move |block| {
                let groups = (blocks - block).min(reach + overlap);
                Step { kind, level, block, groups: u32::try_from(groups).unwrap_or(u32::MAX) }
            })
        };
        let levels = || totals.iter().copied().enumerate();
        let up = levels().flat_map(|(level, blocks)| steps(Kind::ScanBlocks, level, blocks));
        let down = levels().rev().flat_map(|(level, blocks)| steps(Kind::AddTotals, level, blocks));
        let steps = up.chain(down).collect();
        Self { totals, steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies `scan.wgsl` to the slices that a step binds.
    fn dispatch(step: Step, data: &mut [u32], totals: &mut [u32]) {
        for group in 0..step.groups as usize {
            let block = data.chunks_mut(BLOCK).nth(group).unwrap();
            match step.kind {
                Kind::ScanBlocks => {
                    let mut sum = 0_u32;
                    for value in block {
                        sum = sum.wrapping_add(*value);
                        *value = sum;
                    }
                    totals[group] = sum;
                }
                Kind::AddTotals if group == 0 => {}
                Kind::AddTotals => {
                    for value in block {
                        *value = value.wrapping_add(totals[group - 1]);
                    }
                }
            }
        }
    }

    #[test]
    fn every_plan_gives_prefix_sums() {
        for most in [65, 130, 65_535] {
            for len in [1, 2, 511, 512, 513, 5000, 64 * 512, 64 * 512 + 1, 65 * 512 + 1, 300_000, 512 * 512 + 1] {
                let values: Vec<u32> = (0..len as u32).map(|i| i.wrapping_mul(2_654_435_761) >> 7).collect();
                let plan = Plan::new(len, most);
                let mut levels = vec![values.clone()];
                levels.extend(plan.totals.iter().map(|len| vec![0; *len]));
                for step in &plan.steps {
                    assert!(step.groups as usize <= most && step.block % ALIGNED == 0, "{step:?}");
                    let [data, totals] = &mut levels[step.level..step.level + 2] else { panic!("two levels") };
                    dispatch(*step, &mut data[step.block * BLOCK..], &mut totals[step.block..]);
                }
                let expected: Vec<u32> = values
                    .iter()
                    .scan(0_u32, |sum, value| {
                        *sum = sum.wrapping_add(*value);
                        Some(*sum)
                    })
                    .collect();
                assert!(levels[0] == expected, "{len} elements, {most} workgroups");
            }
        }
    }

    #[test]
    fn it_takes_as_few_dispatches_as_it_says() {
        let dispatches = |len| Plan::new(len, MAX_WORKGROUPS as usize).steps.len();
        assert_eq!([1, 512, 513, 512 * 512, 512 * 512 + 1].map(dispatches), [1, 1, 3, 3, 5]);
        assert_eq!([33_500_000, 33_600_000, 70_000_000].map(dispatches), [5, 7, 9]);
    }
}
