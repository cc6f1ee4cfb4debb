//! An OCI registry for a test: the CNCF's `distribution`, in Debian the package `docker-registry`.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A running registry. It is killed when dropped.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    address: String,
    folder: tempfile::TempDir,
}

/// Returns the registry program: `FABRIC_TEST_REGISTRY`, or else `docker-registry` in `PATH`.
fn program() -> PathBuf {
    std::env::var_os("FABRIC_TEST_REGISTRY")
        .filter(|named| !named.is_empty())
        .map_or_else(|| PathBuf::from("docker-registry"), PathBuf::from)
}

impl Registry {
    /// Starts a registry on a free port, with empty storage.
    ///
    /// # Panics
    /// Panics if the program is not found. `cargo xtask test` installs it.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("blobs");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{free}'}}\n",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new(program())
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("no OCI registry: run the tests with `cargo xtask test`, or set FABRIC_TEST_REGISTRY");
        let registry = Self { child, address: free.to_string(), folder };
        let until = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(free).is_err() {
            assert!(Instant::now() < until, "the registry does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        registry
    }

    /// Returns the host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Changes one byte of every blob of this length.
    ///
    /// # Panics
    /// Panics if no blob has this length.
    pub fn damage_blobs(&self, length: usize) {
        fn files(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.path().is_dir() {
                    files(&entry.path(), found);
                } else {
                    found.push(entry.path());
                }
            }
        }
        let mut found = Vec::new();
        files(self.folder.path(), &mut found);
        let mut damaged = 0;
        for file in found {
            let mut bytes = std::fs::read(&file).unwrap();
            if bytes.len() == length {
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::write(&file, bytes).unwrap();
                damaged += 1;
            }
        }
        assert!(damaged > 0, "no blob of {length} bytes");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
