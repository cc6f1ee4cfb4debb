//! A probe of the adapter at startup: runs a long loop and counts its iterations.

use super::{device::Device, pipeline::Pipelines, session::Session, submit};
use crate::{
    Error, LoopProbe,
    command::{Binding, BindingAccess, BindingShape, BufferId, ByteRange, GpuCommand, PipelineId, Reflection},
    shader::Source,
};

/// Counts iterations. Each iteration depends on the one before, so that a compiler can't remove the loop.
const WGSL: &str = "
@group(0) @binding(0) var<storage, read_write> io: array<u32, 4>;
@compute @workgroup_size(1) fn main() {
    let rounds = io[0];
    var state = io[1];
    var count = 0u;
    for (var i = 0u; i < rounds; i++) {
        state ^= state << 13u;
        state ^= state >> 17u;
        state ^= state << 5u;
        count += select(1u, 2u, state == 0u);
    }
    io[2] = count;
    io[3] = state;
}";

/// Runs a loop of [`LoopProbe::ASKED`] iterations in one invocation.
pub(super) fn loops(device: &Device) -> Result<LoopProbe, Error> {
    let (buffer, pipeline) = (BufferId(1), PipelineId(2));
    let reflection = Reflection {
        bindings: vec![BindingShape { binding: 0, access: BindingAccess::ReadWrite, min_bytes: 16 }],
        workgroup_size: [1, 1, 1],
        workgroup_memory_bytes: 0,
    };
    let source = Source { wgsl: WGSL.to_owned(), entry: "main".to_owned(), constants: Vec::new() };
    let mut session = Session::default();
    session.create(device, buffer, 16)?;
    // Any seed except 0, which is a fixed point of xorshift.
    let input: Vec<u8> = [LoopProbe::ASKED, 1, 0, 0].iter().flat_map(|n| n.to_le_bytes()).collect();
    session.write(device, buffer, 0, &input)?;
    session.add_pipeline(pipeline, Pipelines::default().get(device, [0; 32], &source, &reflection)?);
    let bindings = vec![Binding { binding: 0, buffer, offset: 0, bytes: None }];
    let dispatch = GpuCommand::Dispatch { pipeline, bindings, workgroups: [1, 1, 1] };
    let read = ByteRange { buffer, offset: 8, bytes: 4 };
    let rounds = submit::run(device, &session, &[dispatch], &[read])?
        .with_bytes(|bytes, _| bytes.first_chunk::<4>().map(|n| u32::from_le_bytes(*n)));
    session.close(device)?;
    match rounds {
        Some(LoopProbe::ASKED) => Ok(LoopProbe::Complete),
        Some(rounds) if rounds < LoopProbe::ASKED => Ok(LoopProbe::Truncated { rounds }),
        _ => Err(Error::DeviceLost("a loop was counted wrongly".into())),
    }
}
