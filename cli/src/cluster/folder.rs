//! The folder of a fleet on one machine: who holds it, what runs from it, and where clients find a gateway.
//!
//! ```text
//! DIR/cluster.lock   held by the supervisor while it lives
//! DIR/cluster.json   what runs: names, addresses, process ids
//! DIR/server.json    a gateway that answers, for the CLI; DIR/admin-token beside it
//! DIR/store/         the store that all processes share, unless another was named
//! DIR/nats/          the NATS server's configuration
//! DIR/n1/ …          each process's own data; DIR/n1.log … what it said, older files beside it
//! ```

use crate::failure::Failure;
use fabric_client::settings::{LocalServer, default_data_dir};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::{
    fs::{DirBuilder, File, TryLockError},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// One process, as `cluster.json` tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// `nats`, or a node's name.
    pub name: String,
    /// Its id while it runs.
    pub pid: Option<u32>,
    /// Where it answers, once it does.
    pub url: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
}

/// What runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The supervisor's process id.
    pub supervisor: u32,
    /// What it keeps running.
    pub processes: Vec<Process>,
}

/// The folder; it exists.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder that was asked for, else `FABRIC_DATA`, else the user's data folder; made if need be, for this user only.
    pub fn make(asked: Option<&Path>) -> Result<Self, Failure> {
        let path = choose(asked)?;
        make(&path)?;
        let path = path.canonicalize().map_err(|e| Failure::io(path.display(), e))?;
        Ok(Self(path))
    }

    /// The same folder; none where it does not exist.
    pub fn find(asked: Option<&Path>) -> Result<Option<Self>, Failure> {
        let path = choose(asked)?;
        match path.canonicalize() {
            Ok(path) => Ok(Some(Self(path))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Failure::io(path.display(), e)),
        }
    }

    /// The path of something in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes a folder in it.
    pub fn make_in(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.join(name);
        make(&path)?;
        Ok(path)
    }

    /// Its lock file, not locked yet.
    fn lock_file(&self) -> Result<File, Failure> {
        let path = self.join("cluster.lock");
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
        file.map_err(|e| Failure::io(path.display(), e))
    }

    /// Takes the lock that a supervisor holds while it lives; none while another has it.
    pub fn try_lock(&self) -> Result<Option<File>, Failure> {
        let file = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(Failure::io(self.join("cluster.lock").display(), e)),
        }
    }

    /// Waits for the lock: until the supervisor that has it has ended. Blocks the thread.
    pub fn lock(&self) -> Result<File, Failure> {
        let file = self.lock_file()?;
        file.lock().map_err(|e| Failure::io(self.join("cluster.lock").display(), e))?;
        Ok(file)
    }

    /// What the last supervisor wrote; none where there was none.
    pub fn state(&self) -> Result<Option<State>, Failure> {
        let path = self.join("cluster.json");
        match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(state) => Ok(Some(state)),
                Err(e) => Err(Failure::local("config", format!("{}: {e}", path.display()))
                    .hint("it is written by `fabric cluster up`; delete it if no such process runs")),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Failure::io(path.display(), e)),
        }
    }

    /// Tells of what runs.
    pub fn write_state(&self, state: &State) -> Result<(), Failure> {
        let text = serde_json::to_string(state).map_err(|e| Failure::local("internal", e.to_string()))?;
        self.write("cluster.json", text.as_bytes())
    }

    /// The processes of a supervisor that is gone that run on. A process id alone proves nothing, since ids are used again:
    /// the command line has to name this folder too.
    pub fn left_over(&self) -> Result<Vec<Process>, Failure> {
        let processes = self.state()?.map(|state| state.processes).unwrap_or_default();
        Ok(processes.into_iter().filter(|p| p.pid.is_some_and(|pid| self.runs(pid))).collect())
    }

    /// Whether a process runs whose command line names something in this folder.
    pub fn runs(&self, pid: u32) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // With the slash, so that another folder whose name begins alike is not meant.
        let wanted = [self.0.as_os_str().as_bytes(), b"/"].concat();
        line.split(|b| *b == 0).any(|argument| argument.starts_with(&wanted))
    }

    /// Points clients on this machine at a process: its token, then its address.
    pub fn lead_to(&self, process: &str) -> Result<(), Failure> {
        let own = self.join(process);
        let Some(server) = LocalServer::find(&own) else {
            return Err(Failure::local("io", format!("`{}` has no address", own.display())));
        };
        if let Some(token) = &server.token {
            self.write("admin-token", format!("{token}\n").as_bytes())?;
        }
        let text = serde_json::json!({ "url": server.url, "process": process }).to_string();
        self.write("server.json", text.as_bytes())
    }

    /// Nothing answers any more.
    pub fn lead_nowhere(&self) {
        let _ = std::fs::remove_file(self.join("server.json"));
        let _ = std::fs::remove_file(self.join("cluster.json"));
    }

    /// Writes a file for this user only, by rename, so that nobody reads half of it.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let (path, beside) = (self.join(name), self.join(&format!("{name}.new")));
        // A leftover may have another mode.
        let _ = std::fs::remove_file(&beside);
        let file = File::options().create_new(true).write(true).mode(0o600).open(&beside);
        file.and_then(|mut file| file.write_all(bytes))
            .and_then(|()| std::fs::rename(&beside, &path))
            .map_err(|e| Failure::io(path.display(), e))
    }
}

/// Sends a signal; gives whether there was such a process.
pub fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

fn choose(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let named = asked.map(Path::to_owned);
    named
        .or_else(|| fabric_client::settings::process_env("FABRIC_DATA").map(PathBuf::from))
        .or_else(default_data_dir)
        .ok_or_else(|| Failure::config("this user has no home folder to keep data in").hint("name one: --data DIR"))
}

fn make(path: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Failure::io(format!("making the folder `{}`", path.display()), e))
}
