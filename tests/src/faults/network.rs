//! Where processes are, and what is between each of them and the services that it needs: proxies on this machine's own
//! address, or namespaces with an address each.

use super::{
    netns::{self, Bridge, Namespace},
    proxy::{Proxy, Weather},
};
use anyhow::Result;
use std::{
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
};
use tokio::process::Command;

/// How the processes of a fleet are connected.
#[derive(Debug, Clone)]
pub(crate) enum Network {
    /// All on the loopback address, each with proxies of its own to every service.
    Proxies,
    /// Each in a network namespace of its own.
    Namespaces(Arc<Bridge>),
}

impl Network {
    /// A place for a process.
    pub(crate) fn seat(&self) -> Result<Seat> {
        Ok(match self {
            Self::Proxies => Seat(None),
            Self::Namespaces(bridge) => Seat(Some(Namespace::new(bridge)?)),
        })
    }

    /// A line from a process to a service.
    pub(crate) async fn line(&self, from: &Seat, to: SocketAddr, seed: u64) -> Result<Line> {
        Ok(match &from.0 {
            None => Line::Proxy(Proxy::start(to, seed).await?),
            Some(namespace) => Line::Route { namespace: namespace.name().to_owned(), to },
        })
    }
}

/// Where one process is.
#[derive(Debug)]
pub(crate) struct Seat(Option<Namespace>);

impl Seat {
    pub(crate) fn address(&self) -> IpAddr {
        self.0.as_ref().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), Namespace::address)
    }

    /// A command that runs there, as the process that is started: nothing stays between it and its parent.
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

/// What is between a process and a service.
#[derive(Debug)]
pub(crate) enum Line {
    Proxy(Proxy),
    Route { namespace: String, to: SocketAddr },
}

impl Line {
    /// Where the process finds the service.
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

/// Ports that nobody has now, no two the same, below those that the system gives to outgoing connections: a server that is
/// started again finds its own still free. SeaweedFS takes each again 10,000 above it.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    while held.len() < N {
        let port = rand::random_range(12_000..22_000);
        let both = (TcpListener::bind(("127.0.0.1", port)), TcpListener::bind(("127.0.0.1", port + 10_000)));
        if let (Ok(listener), Ok(above)) = both {
            held.push((listener, above, port));
        }
    }
    let mut ports = [0; N];
    for (port, (_, _, free)) in ports.iter_mut().zip(&held) {
        *port = *free;
    }
    Ok(ports)
}
