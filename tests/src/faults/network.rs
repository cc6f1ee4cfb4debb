//! The addresses of processes and the links between them and the services: proxies on the loopback address, or network
//! namespaces with an address each.

use super::{
    netns::{self, Bridge, Namespace},
    proxy::{Proxy, Weather},
};
use anyhow::Result;
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::process::Command;

/// The kind of network that connects the processes of a fleet.
#[derive(Debug, Clone)]
pub(crate) enum Network {
    /// All processes on the loopback address, each with its own proxy to every service.
    Proxies,
    /// Each process in its own network namespace.
    Namespaces(Arc<Bridge>),
}

impl Network {
    /// Allocates an address for a process.
    pub(crate) fn seat(&self) -> Result<Seat> {
        Ok(match self {
            Self::Proxies => Seat(None),
            Self::Namespaces(bridge) => Seat(Some(Namespace::new(bridge)?)),
        })
    }

    /// Creates the link from a process to a service.
    pub(crate) async fn line(&self, from: &Seat, to: SocketAddr, seed: u64) -> Result<Line> {
        Ok(match &from.0 {
            None => Line::Proxy(Proxy::start(to, seed).await?),
            Some(namespace) => Line::Route { namespace: namespace.name().to_owned(), to },
        })
    }
}

/// The location of one process: the loopback address or a namespace.
#[derive(Debug)]
pub(crate) struct Seat(Option<Namespace>);

impl Seat {
    pub(crate) fn address(&self) -> IpAddr {
        self.0.as_ref().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), Namespace::address)
    }

    /// Returns a command that runs in this location. No intermediate process remains between the command and its
    /// parent.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.0 {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace.name()]).arg(program);
                command
            }
        };
        command.kill_on_drop(true);
        command
    }
}

/// A link between a process and a service.
#[derive(Debug)]
pub(crate) enum Line {
    Proxy(Proxy),
    Route { namespace: String, to: SocketAddr },
}

impl Line {
    /// Returns the address at which the process reaches the service.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Proxy(proxy) => proxy.address(),
            Self::Route { to, .. } => *to,
        }
    }

    pub(crate) fn set(&self, weather: Weather) -> Result<()> {
        match self {
            Self::Proxy(proxy) => {
                proxy.set(weather);
                Ok(())
            }
            Self::Route { namespace, to } => netns::set(namespace, to.ip(), weather),
        }
    }
}

/// Returns distinct free ports below the ephemeral range, so that a restarted server finds its port still free.
/// SeaweedFS also uses each port plus 10,000.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    /// Ports already returned. Their servers may not have bound them yet.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ports = [0; N];
    for port in &mut ports {
        *port = loop {
            let port = rand::random_range(12_000..22_000);
            let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
            if is_free(port) && is_free(port + 10_000) && given.insert(port) {
                break port;
            }
        };
    }
    Ok(ports)
}
