//! The device worker's loop: one request, one reply, in order, until the node closes the socket.

use super::{
    bounds,
    device::Device,
    pipeline::Pipelines,
    session::{Session, Sessions},
    submit,
};
use crate::{
    AdapterKind, AdapterLimits, Error,
    protocol::{Reply, Request, receive, send},
};
use fabric_confine::User;
use std::{
    io::{self, BufReader},
    os::unix::net::UnixStream,
    time::Instant,
};

/// Opens the device, switches to `user` if given, and serves requests.
pub(super) fn serve(
    adapter: Option<&str>,
    memory_bytes: u64,
    limits: AdapterLimits,
    user: Option<User>,
    mut input: BufReader<UnixStream>,
    mut output: UnixStream,
) -> io::Result<()> {
    let device = match Device::open(adapter, memory_bytes, &limits) {
        Ok(device) => device,
        Err(reason) => return send(&mut output, &Reply::NoDevice(reason), &[]),
    };
    if let Some(user) = &user {
        fabric_confine::user(user)?;
    }
    let software = device.info.kind == AdapterKind::Software;
    if software {
        bounds::for_software(memory_bytes)?;
    }
    send(&mut output, &Reply::Ready(Box::new(device.info.clone())), &[])?;
    let mut sessions = Sessions::default();
    let mut pipelines = Pipelines::default();
    let mut bytes = Vec::new();
    while let Some(request) = receive::<Request>(&mut input, &mut bytes)? {
        if let Request::Submit { session, commands, reads, deadline_ms } = request {
            if software {
                bounds::allow_cpu(deadline_ms)?;
            }
            match submit::run(&device, sessions.of(session), &commands, &reads) {
                // Sent from the mapped memory without a copy.
                Ok(done) => done.with_bytes(|bytes, device_ns| send(&mut output, &Reply::Done { device_ns }, bytes))?,
                Err(error) => send(&mut output, &Reply::Failed(error), &[])?,
            }
        } else {
            let started = Instant::now();
            let reply = match handle(&device, &mut sessions, &mut pipelines, request, &bytes) {
                Ok(()) => Reply::Done { device_ns: u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX) },
                Err(error) => Reply::Failed(error),
            };
            send(&mut output, &reply, &[])?;
        }
        // The device is lost for all sessions. This process ends, and the node starts another one.
        if device.is_lost() {
            return Err(io::Error::other("the device is lost"));
        }
    }
    Ok(())
}

fn handle(
    device: &Device,
    sessions: &mut Sessions,
    pipelines: &mut Pipelines,
    request: Request,
    bytes: &[u8],
) -> Result<(), Error> {
    match request {
        Request::Create { session, buffer, bytes } => sessions.of(session).create(device, buffer, bytes),
        Request::Destroy { session, buffer } => sessions.of(session).destroy(device, buffer),
        Request::Write { session, buffer, offset } => sessions.of(session).write(device, buffer, offset, bytes),
        Request::Compile { session, pipeline, key, source, reflection } => {
            let compiled = pipelines.get(device, key, &source, &reflection)?;
            sessions.of(session).add_pipeline(pipeline, compiled);
            Ok(())
        }
        Request::DropPipeline { session, pipeline } => {
            sessions.of(session).drop_pipeline(pipeline);
            Ok(())
        }
        Request::Close { session } => sessions.take(session).map_or(Ok(()), |s: Session| s.close(device)),
        Request::Submit { .. } => Ok(()),
    }
}
