//! The processes of a fleet on one machine, checked before any of them is started.

use super::{
    child::{ProcessSpec, ReadinessProbe},
    folder::Folder,
};
use crate::Error;
use std::{
    net::{SocketAddr, TcpListener},
    num::NonZeroU16,
    path::PathBuf,
};

/// Variables that processes do not inherit: each process has its own value, or the setting makes no sense on one
/// machine.
const NOT_INHERITED_VARIABLES: [&str; 6] = [
    "FABRIC_CONFIG",
    "FABRIC_ADVERTISE",
    "FABRIC_TLS_CERT",
    "FABRIC_TLS_KEY",
    "FABRIC_INSECURE_LISTEN",
    "FABRIC_NATS_SERVER",
];

/// The minimum memory of `fabric serve`, in MiB.
const LEAST_MEMORY_MIB: u64 = crate::settings::LEAST_MEMORY.0 >> 20;

/// The `fabric serve` processes of a fleet.
#[derive(Debug)]
pub struct ClusterPlan {
    /// Number of processes.
    pub nodes: NonZeroU16,
    /// Address of the first process. The others use the ports after it, or free ones if the port is 0.
    pub listen: SocketAddr,
    /// URL of the shared store.
    pub store: String,
    /// URLs of the NATS servers.
    pub nats: String,
    /// Guests that each process runs at once; `None` for an equal share of the CPUs.
    pub slots: Option<u32>,
}

impl ClusterPlan {
    /// Returns the addresses of the processes. Each is free at the time of the call.
    pub fn addresses(listen: SocketAddr, nodes: NonZeroU16) -> Result<Vec<SocketAddr>, Error> {
        if !listen.ip().is_loopback() {
            return Err(Error::usage(format!(
                "--listen {listen}: a fleet of one machine listens on that machine only"
            ))
            .hint("use 127.0.0.1; for a fleet that others reach start `fabric serve` with TLS: docs/operations.md"));
        }
        let port = |n: u16| match listen.port() {
            0 => Ok(0),
            first => first
                .checked_add(n)
                .ok_or_else(|| Error::usage(format!("--listen {listen}: there are not {nodes} ports from {first} on"))),
        };
        let address = |n| {
            let address = SocketAddr::new(listen.ip(), port(n)?);
            let taken = TcpListener::bind(address);
            taken.map(|_| address).map_err(|e| {
                Error::listening(address, e).hint(format!(
                    "{nodes} consecutive ports must be free: choose others with --listen, or port 0 for any"
                ))
            })
        };
        (0..nodes.get()).map(address).collect()
    }

    /// Returns the processes to run. The URLs of the store and of NATS go through the environment, because other users
    /// can read a command line.
    pub fn specs(&self, folder: &Folder) -> Result<Vec<ProcessSpec>, Error> {
        let program = std::env::current_exe().map_err(|e| Error::io("finding this program", e))?;
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
        let slots = self.slots.unwrap_or((cores / u32::from(self.nodes.get())).max(1));
        let addresses = Self::addresses(self.listen, self.nodes)?;
        Ok(addresses
            .iter()
            .zip(1..)
            .map(|(address, n)| self.spec(folder, program.clone(), n, *address, slots))
            .collect())
    }

    /// Returns the memory of one process: an equal part of the default of a single process.
    fn memory(&self) -> String {
        let bytes = fabric_node::machine_memory() / u64::from(self.nodes.get());
        format!("{}MiB", (bytes >> 20).max(LEAST_MEMORY_MIB))
    }

    fn spec(&self, folder: &Folder, program: PathBuf, n: u16, address: SocketAddr, slots: u32) -> ProcessSpec {
        let name = format!("n{n}");
        let data = folder.join(&name);
        let log = folder.join(&format!("{name}.log"));
        let mut args = vec!["serve".into(), "--data".into(), data.clone().into()];
        for (flag, value) in [
            ("--name", name.clone()),
            ("--listen", address.to_string()),
            ("--role", "all".to_owned()),
            ("--slots", slots.to_string()),
        ] {
            args.extend([flag.into(), value.into()]);
        }
        args.extend(["--log-file".into(), log.clone().into()]);
        let mut env: Vec<_> = NOT_INHERITED_VARIABLES.map(|name| (name, None)).into();
        env.push(("FABRIC_STORE", Some(self.store.clone().into())));
        env.push(("FABRIC_NATS", Some(self.nats.clone().into())));
        if fabric_client::settings::process_env("FABRIC_MEMORY").is_none() {
            env.push(("FABRIC_MEMORY", Some(self.memory().into())));
        }
        // A fleet on one machine has no proxy in front of it.
        if fabric_client::settings::process_env("FABRIC_SHUTDOWN_DELAY").is_none() {
            env.push(("FABRIC_SHUTDOWN_DELAY", Some("0".into())));
        }
        ProcessSpec {
            log,
            log_begins_at: 0,
            name,
            program,
            args,
            env,
            readiness: ReadinessProbe::Address(data.join("server.json")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(listen: &str, nodes: u16) -> Result<Vec<SocketAddr>, Error> {
        ClusterPlan::addresses(listen.parse().unwrap(), NonZeroU16::new(nodes).unwrap())
    }

    #[test]
    fn ports_follow_the_first_one_and_are_looked_at_first() {
        assert_eq!(addresses("127.0.0.1:0", 2).unwrap(), vec!["127.0.0.1:0".parse().unwrap(); 2]);
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let held = TcpListener::bind(taken).unwrap();
        let refused = addresses(&taken.to_string(), 1).unwrap_err();
        assert!(refused.message.starts_with(&format!("listening on {taken}")), "{}", refused.message);
        drop(held);
        assert!(addresses("127.0.0.1:65535", 2).unwrap_err().message.contains("there are not 2 ports"));
        assert!(addresses("0.0.0.0:0", 1).unwrap_err().message.contains("that machine only"));
    }
}
