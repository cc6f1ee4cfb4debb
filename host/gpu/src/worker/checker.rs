//! The checker: a process without a device and without tenants' data. It checks one shader and ends.
//!
//! A few bytes of source can make the parser allocate a lot of memory, so parsing runs in a process that affects only
//! this shader. wgpu parses a valid shader again in the device worker, with the same version of naga and therefore the
//! same memory.

use crate::{
    AdapterLimits,
    protocol::{Reply, send},
    shader::{self, Extensions, Source},
};
use std::{io, os::unix::net::UnixStream, thread};

/// Stack for parsing, in bytes. At the default nesting limit, a debug build uses less than a quarter of it. Long chains
/// of declarations that depend on each other can overflow it. They fail here and not in the device worker, which has a
/// larger stack.
pub(crate) const STACK_BYTES: usize = 8 << 20;

pub(super) fn answer(
    source: Source,
    extensions: Extensions,
    limits: AdapterLimits,
    mut to: UnixStream,
) -> io::Result<()> {
    let check = move || shader::check(&source, extensions, &limits);
    let parser = thread::Builder::new().stack_size(STACK_BYTES).spawn(check)?;
    // After a panic of the parser, the process ends without a reply, as after a crash.
    let outcome = parser.join().map_err(|_| io::Error::other("the parser panicked"))?;
    let reply = match outcome {
        Ok(reflection) => Reply::Checked(reflection),
        Err(error) => Reply::Failed(error),
    };
    send(&mut to, &reply, &[])
}
