//! The folder of a fleet on one machine: its lock, its processes, and the address of a gateway for clients.
//!
//! ```text
//! DIR/cluster.lock   locked by the supervisor while it runs
//! DIR/cluster.json   running processes: names, addresses, process ids
//! DIR/server.json    address of a ready gateway, for the CLI; DIR/admin-token is next to it
//! DIR/store/         the store that all processes share, unless another is configured
//! DIR/nats/          the NATS server's configuration
//! DIR/n1/ …          data of one process; DIR/n1.log … its log, with rotated files next to it
//! ```

use crate::Error;
use fabric_client::settings::{LocalServer, default_data_dir};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::{
    fs::{DirBuilder, File, TryLockError},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A process as recorded in `cluster.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// `nats`, or a node's name.
    pub name: String,
    /// Process id while it runs.
    pub pid: Option<u32>,
    /// Its address, once it is ready.
    pub url: Option<String>,
    /// Number of restarts.
    pub restarts: u32,
}

/// The contents of `cluster.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The supervisor's process id.
    pub supervisor: u32,
    /// The supervised processes.
    pub processes: Vec<Process>,
}

/// An existing folder of a fleet.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// Returns the requested folder, else `FABRIC_DATA`, else the user's data folder. Creates it, for this user only,
    /// if it does not exist.
    pub fn create(requested: Option<&Path>) -> Result<Self, Error> {
        let path = choose(requested)?;
        create_private(&path)?;
        let path = path.canonicalize().map_err(|e| Error::io(path.display(), e))?;
        Ok(Self(path))
    }

    /// Returns the same folder as [`Self::create`], or `None` if it does not exist.
    pub fn open_existing(requested: Option<&Path>) -> Result<Option<Self>, Error> {
        let path = choose(requested)?;
        match path.canonicalize() {
            Ok(path) => Ok(Some(Self(path))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(path.display(), e)),
        }
    }

    /// Returns the path of an entry in the folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Creates a folder in it.
    pub fn create_folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.join(name);
        create_private(&path)?;
        Ok(path)
    }

    /// Opens the lock file without locking it.
    fn lock_file(&self) -> Result<File, Error> {
        let path = self.join("cluster.lock");
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
        file.map_err(|e| Error::io(path.display(), e))
    }

    /// Acquires the lock that a supervisor holds while it runs. Returns `None` if another process holds it.
    pub fn try_lock(&self) -> Result<Option<File>, Error> {
        let file = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(Error::io(self.join("cluster.lock").display(), e)),
        }
    }

    /// Acquires the lock; blocks the thread until the supervisor that holds it has ended.
    pub fn lock(&self) -> Result<File, Error> {
        let file = self.lock_file()?;
        file.lock().map_err(|e| Error::io(self.join("cluster.lock").display(), e))?;
        Ok(file)
    }

    /// Reads the state that the last supervisor wrote; `None` if there is none.
    pub fn state(&self) -> Result<Option<State>, Error> {
        let path = self.join("cluster.json");
        match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(state) => Ok(Some(state)),
                Err(e) => Err(Error::local("config", format!("{}: {e}", path.display()))
                    .hint("it is written by `fabric cluster up`; delete it if no such process runs")),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(path.display(), e)),
        }
    }

    /// Writes `cluster.json`.
    pub fn write_state(&self, state: &State) -> Result<(), Error> {
        let text = serde_json::to_string(state).map_err(|e| Error::local("internal", e.to_string()))?;
        self.write("cluster.json", text.as_bytes())
    }

    /// Returns the processes that still run although their supervisor has ended. A process id alone is not proof,
    /// because ids are reused: the command line must also name this folder.
    pub fn orphaned_processes(&self) -> Result<Vec<Process>, Error> {
        let processes = self.state()?.map(|state| state.processes).unwrap_or_default();
        Ok(processes.into_iter().filter(|p| p.pid.is_some_and(|pid| self.runs(pid))).collect())
    }

    /// Returns `true` if the process runs and its command line names a path in this folder.
    pub fn runs(&self, pid: u32) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // With the slash, so that a folder whose name only begins with this one's does not match.
        let wanted = [self.0.as_os_str().as_bytes(), b"/"].concat();
        line.split(|b| *b == 0).any(|argument| argument.starts_with(&wanted))
    }

    /// Directs clients on this machine to a process: writes its token, then its address.
    pub fn publish_gateway(&self, process: &str) -> Result<(), Error> {
        let own = self.join(process);
        let Some(server) = LocalServer::find(&own) else {
            return Err(Error::local("io", format!("`{}` has no address", own.display())));
        };
        if let Some(token) = &server.token {
            self.write("admin-token", format!("{token}\n").as_bytes())?;
        }
        let text = serde_json::json!({ "url": server.url, "process": process }).to_string();
        self.write("server.json", text.as_bytes())
    }

    /// Removes the address for clients and the state, once no process runs.
    pub fn clear_state(&self) {
        let _ = std::fs::remove_file(self.join("server.json"));
        let _ = std::fs::remove_file(self.join("cluster.json"));
    }

    /// Writes a file for this user only, by rename, so that a reader never sees a partial file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let (path, beside) = (self.join(name), self.join(&format!("{name}.new")));
        // A stale file may have another mode.
        let _ = std::fs::remove_file(&beside);
        let file = File::options().create_new(true).write(true).mode(0o600).open(&beside);
        file.and_then(|mut file| file.write_all(bytes))
            .and_then(|()| std::fs::rename(&beside, &path))
            .map_err(|e| Error::io(path.display(), e))
    }
}

/// Sends a signal. Returns `true` if it was sent.
pub fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

fn choose(requested: Option<&Path>) -> Result<PathBuf, Error> {
    let named = requested.map(Path::to_owned);
    named
        .or_else(|| fabric_client::settings::process_env("FABRIC_DATA").map(PathBuf::from))
        .or_else(default_data_dir)
        .ok_or_else(|| Error::config("this user has no home folder to keep data in").hint("name one: --data DIR"))
}

fn create_private(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Error::io(format!("creating the folder `{}`", path.display()), e))
}
