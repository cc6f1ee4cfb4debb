//! A worker process and the socket to it.

use crate::{
    AdapterInfo, Options,
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

/// A running worker. Dropping it kills the process.
pub(super) struct Process {
    child: Child,
    socket: BufReader<UnixStream>,
}

impl Process {
    /// Starts a worker. The socket is its standard input; it inherits nothing else from this process.
    pub(super) fn spawn(options: &Options) -> io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let child = Command::new(&options.worker.program)
            .args(&options.worker.args)
            .env_clear()
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            // Tenants' shaders must not be cached in files, and no Vulkan layers may be loaded.
            .env("MESA_SHADER_CACHE_DISABLE", "true")
            .env("__GL_SHADER_DISK_CACHE", "0")
            .env("VK_LOADER_LAYERS_DISABLE", "~implicit~")
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        // A short reply takes one read.
        Ok(Self { child, socket: BufReader::new(UnixStream::from_std(ours)?) })
    }

    /// Starts a device worker.
    ///
    /// # Errors
    /// The reason why there is no device.
    pub(super) async fn open_device(options: &Options) -> Result<(Self, AdapterInfo), String> {
        let mut process = Self::spawn(options)
            .map_err(|e| format!("the GPU worker `{}` can't be started: {e}", options.worker.program.display()))?;
        let start = Start::Device {
            adapter: options.adapter.clone(),
            memory_bytes: options.memory_bytes,
            limits: options.limits.clone(),
            user: options.user,
        };
        let start = encode(&start, 0).map_err(|e| format!("the request to the GPU worker can't be encoded: {e}"))?;
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

    /// Sends a request encoded by [`encode`] and receives its reply.
    pub(super) async fn ask(&mut self, request: &[u8], bytes: &[u8]) -> io::Result<(Reply, Vec<u8>)> {
        send_async(&mut self.socket, request, bytes).await?;
        receive_async(&mut self.socket).await
    }

    /// Returns the process id while the process runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the process to end and returns a description of its exit status. Cancel safe.
    pub(super) async fn ended(&mut self) -> String {
        describe(self.child.wait().await)
    }

    /// Returns the exit status. Call it after the socket is closed: a process closes its socket shortly before its
    /// status is available.
    pub(super) async fn status(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Kills the process, waits for its end and returns a description of its exit status.
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
