//! Starts real NATS servers for a test, kills them, and stops them at the end.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// A running server. Its port stays the same after a restart.
pub struct Server {
    child: Child,
    config: tempfile::TempDir,
    text: String,
    port: u16,
    routes: Option<u16>,
    // Held open, so that the server never writes into a closed pipe.
    log: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if let Some(log) = self.log.take() {
            let _ = log.join();
        }
    }
}

fn port_of(line: &str) -> u16 {
    line.rsplit(':').next().unwrap().trim().parse().unwrap()
}

impl Server {
    /// Starts a server on a free port, with these lines of configuration.
    pub fn start(text: &str) -> Self {
        let text = format!("server_name: \"{:016x}\"\n{text}", rand::random::<u64>());
        Self::launch(tempfile::tempdir().unwrap(), text, None, 0)
    }

    /// Starts the program and returns after it reported that it is ready. Fails the test with instructions if there is
    /// no program.
    fn launch(config: tempfile::TempDir, text: String, log: Option<std::thread::JoinHandle<()>>, port: u16) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        drop(log);
        let program = std::env::var_os("FABRIC_TEST_NATS").expect(
            "the fleet's suites need a real NATS server: run `cargo xtask test`, or get nats-server 2.10 or newer and set \
             FABRIC_TEST_NATS to it",
        );
        let file = config.path().join("nats.conf");
        let listen = if port == 0 { -1 } else { i32::from(port) };
        std::fs::write(&file, format!("listen: \"127.0.0.1:{listen}\"\n{text}")).unwrap();
        let mut child = Command::new(program)
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("FABRIC_TEST_NATS names no program that starts");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut port, mut routes, mut ready, mut said) = (0, None, false, String::new());
        for line in lines.by_ref() {
            let line = line.unwrap();
            said.push_str(&line);
            said.push('\n');
            if line.contains("Listening for client connections on") {
                port = port_of(&line);
            } else if line.contains("Listening for route connections on") {
                routes = Some(port_of(&line));
            } else if line.contains("Server is ready") {
                ready = true;
            }
            if ready && (routes.is_some() || !text.contains("cluster")) {
                break;
            }
        }
        assert!(port != 0, "the NATS server did not start:\n{said}");
        let log = std::thread::spawn(move || lines.for_each(drop));
        Self { child, config, text, port, routes, log: Some(log) }
    }

    /// Starts a cluster of three servers.
    pub fn cluster() -> [Self; 3] {
        let first = Self::start("cluster { name: fleet, listen: \"127.0.0.1:-1\" }");
        // Each is configured with all earlier ones, since a server tries discovered routes only once.
        let to = |servers: &[&Self]| {
            let routes = servers.iter().map(|server| format!("\"nats://127.0.0.1:{}\"", server.routes.unwrap()));
            let routes = routes.collect::<Vec<_>>().join(", ");
            format!("cluster {{ name: fleet, listen: \"127.0.0.1:-1\", routes: [ {routes} ] }}")
        };
        let second = Self::start(&to(&[&first]));
        let third = Self::start(&to(&[&first, &second]));
        [first, second, third]
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts a killed server again on its port, without its former state.
    pub fn start_again(self) -> Self {
        let (text, port) = (self.text.clone(), self.port);
        drop(self);
        Self::launch(tempfile::tempdir().unwrap(), text, None, port)
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns a folder that exists as long as the server.
    pub fn folder(&self) -> &std::path::Path {
        self.config.path()
    }
}
