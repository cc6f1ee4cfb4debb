//! The checker: a process that has no device and nobody's data, checks one shader and ends.
//!
//! Parsing is where a few bytes can ask for a lot of memory, so it happens where only this one shader can suffer. What
//! passed here is parsed again by wgpu beside the device: by the same naga, within what it took here.

use crate::{
    Limits,
    protocol::{Reply, send},
    shader::{self, Extensions, Source},
};
use std::{io, os::unix::net::UnixStream, thread};

/// Stack for parsing, in bytes. At the default nesting limit a debug build uses less than a quarter of it. Declarations that
/// wait for each other in a long chain can use more, and end here rather than beside the device, where there is more.
pub(crate) const STACK_BYTES: usize = 8 << 20;

pub(super) fn answer(source: Source, extensions: Extensions, limits: Limits, mut to: UnixStream) -> io::Result<()> {
    let check = move || shader::check(&source, extensions, &limits);
    let parser = thread::Builder::new().stack_size(STACK_BYTES).spawn(check)?;
    // A panic of the parser ends like a crash: with no answer.
    let outcome = parser.join().map_err(|_| io::Error::other("the parser panicked"))?;
    let reply = match outcome {
        Ok(reflection) => Reply::Checked(reflection),
        Err(error) => Reply::Failed(error),
    };
    send(&mut to, &reply, &[])
}
