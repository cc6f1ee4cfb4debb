//! One worker process and the socket to it.

use crate::{
    Info, Options,
    protocol::{Reply, Start, encode, receive_async, send_async},
};
use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream, unix::process::ExitStatusExt as _},
    process::{ExitStatus, Stdio},
};
use tokio::{
    io::BufReader,
    net::UnixStream,
    process::{Child, Command},
    time::timeout,
};

/// A worker that runs. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    socket: BufReader<UnixStream>,
}

impl Process {
    /// Starts a worker: the socket is its standard input, and it gets nothing else of this process.
    pub(super) fn spawn(options: &Options) -> io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let child = Command::new(&options.worker.program)
            .args(&options.worker.args)
            .env_clear()
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            // What tenants compile is not to be kept in files, and no layer is to be put between.
            .env("MESA_SHADER_CACHE_DISABLE", "true")
            .env("__GL_SHADER_DISK_CACHE", "0")
            .env("VK_LOADER_LAYERS_DISABLE", "~implicit~")
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        // An answer without many bytes is one read.
        Ok(Self { child, socket: BufReader::new(UnixStream::from_std(ours)?) })
    }

    /// Starts the owner of a device.
    ///
    /// # Errors
    /// Why there is none, in plain words.
    pub(super) async fn open_device(options: &Options) -> Result<(Self, Info), String> {
        let mut process = Self::spawn(options)
            .map_err(|e| format!("the GPU worker `{}` can't be started: {e}", options.worker.program.display()))?;
        let start = Start::Device {
            adapter: options.adapter.clone(),
            memory_bytes: options.memory_bytes,
            limits: options.limits.clone(),
            user: options.user,
        };
        let start = encode(&start, 0).map_err(|e| format!("the GPU worker can't be asked: {e}"))?;
        match timeout(options.start_deadline, process.ask(&start, &[])).await {
            Ok(Ok((Reply::Ready(info), _))) => Ok((process, *info)),
            Ok(Ok((Reply::NoDevice(reason), _))) => Err(reason),
            Ok(_) => Err(format!("the GPU worker ended while it opened the device: {}", process.kill().await)),
            Err(_) => {
                process.kill().await;
                Err(format!("the driver did not open the device within {} s", options.start_deadline.as_secs()))
            }
        }
    }

    /// One request, as [`encode`] made it, one reply.
    pub(super) async fn ask(&mut self, request: &[u8], bytes: &[u8]) -> io::Result<(Reply, Vec<u8>)> {
        send_async(&mut self.socket, request, bytes).await?;
        receive_async(&mut self.socket).await
    }

    /// The process's id while it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it ends by itself; says how it did. Cancel safe.
    pub(super) async fn ended(&mut self) -> String {
        describe(self.child.wait().await)
    }

    /// How it ended, after it closed its socket: a process that dies closes it a moment before its status is there.
    pub(super) async fn status(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Kills it and waits until it is gone; says how it ended.
    pub(super) async fn kill(&mut self) -> String {
        let _ = self.child.start_kill();
        describe(self.child.wait().await)
    }
}

fn describe(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match status.signal() {
            Some(signal) => format!("ended by signal {signal}"),
            None => format!("ended with {status}"),
        },
        Err(error) => format!("lost: {error}"),
    }
}
