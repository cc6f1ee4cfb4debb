//! The worker process: a checker of one shader, or the owner of the device. It is told which by its first frame.
//!
//! A hung shader can't be stopped by any call; only the end of its process stops it. So the device lives here and the
//! node kills this process when a deadline passes.

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

/// Stack beside the device, in bytes: what a checker's stack sufficed for is parsed again here, and then compiled.
const DEVICE_STACK_BYTES: usize = 8 * checker::STACK_BYTES;

/// Runs the worker over the socket that is its standard input. Call it before any thread or runtime is started and
/// before any file is open: it closes every descriptor but the standard ones. Returns the exit status, 0 when the node
/// closed the socket.
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
    // A closed socket ends this wait too. The rights go before any other thread is there.
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
            // wgpu panics on what it thinks can't be; the node sees an end like any other.
            serving.join().map_err(|_| io::Error::other("the device's thread panicked"))?
        }
    }
}
