//! A NATS server for a test.

use crate::process::Process;
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
};

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub struct Nats {
    child: Child,
    url: String,
    log: Option<JoinHandle<()>>,
}

impl Nats {
    /// Starts a server on a free port.
    ///
    /// # Panics
    /// Panics if the program is not found, see [`crate::nats_server`].
    #[must_use]
    pub fn start() -> Self {
        let mut child = Command::new(crate::nats_server())
            .args(["--addr", "127.0.0.1", "--port", "-1"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains("Listening for client connections on"));
        let port = line.expect("the NATS server ended").rsplit(':').next().unwrap().trim().to_owned();
        // Drains the pipe, so that the server never blocks on it.
        let log = std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: format!("nats://127.0.0.1:{port}"), log: Some(log) }
    }

    /// Returns the server's process.
    #[must_use]
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Returns the server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(log) = self.log.take() {
            let _ = log.join();
        }
    }
}
