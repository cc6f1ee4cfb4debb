//! The worker process: a checker of one shader, or the owner of the device. The first frame selects the role.
//!
//! No call can stop a hung shader; only ending its process does. Therefore the device is owned by this process, and the
//! node kills the process when a deadline passes.

pub(crate) mod bounds;
pub(crate) mod checker;
mod device;
mod driver;
mod pipeline;
mod probe;
mod serve;
mod session;
mod submit;

use crate::protocol::{Start, receive};
use fabric_confine::User;
use std::{
    io::{self, BufReader},
    os::{fd::AsFd as _, unix::net::UnixStream},
    thread,
};

/// Stack of the device thread, in bytes. A shader that fits the checker's stack is parsed again here, and then
/// compiled.
const DEVICE_STACK_BYTES: usize = 8 * checker::STACK_BYTES;

/// Runs the worker over the socket at its standard input. Returns the exit status, which is 0 if the node closed the
/// socket. Must be called before any thread or runtime is started and before any file is opened: it closes every
/// descriptor except the standard streams.
#[must_use]
pub fn worker_main() -> u8 {
    match run() {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn run() -> io::Result<()> {
    bounds::confine()?;
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let watched = socket.try_clone()?;
    let mut input = BufReader::with_capacity(64 << 10, socket.try_clone()?);
    // A closed socket also ends this wait. Privileges are dropped before other threads are started.
    match receive(&mut input, &mut Vec::new())? {
        None => Ok(()),
        Some(Start::Check { source, extensions, limits, memory_bytes, cpu_seconds, user }) => {
            bounds::for_checking(memory_bytes, cpu_seconds)?;
            fabric_confine::compute_only(user.map(User::new).as_ref())?;
            bounds::end_with(watched)?;
            checker::answer(source, extensions, limits, socket)
        }
        Some(Start::Device { adapter, memory_bytes, limits, user }) => {
            let user = user.map(driver::user);
            driver::confine()?;
            bounds::end_with(watched)?;
            let serve = move || serve::serve(adapter.as_deref(), memory_bytes, limits, user, input, socket);
            let serving = thread::Builder::new().stack_size(DEVICE_STACK_BYTES).spawn(serve)?;
            // wgpu may panic on internal errors. For the node this is an unexpected end like any other.
            serving.join().map_err(|_| io::Error::other("the device's thread panicked"))?
        }
    }
}
