//! Network namespaces on one bridge. Each process has its own address, and the kernel cuts its routes. Needs root.

use super::proxy::Weather;
use anyhow::{Context as _, Result, ensure};
use std::{
    net::{IpAddr, Ipv4Addr},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

/// Checks that this user can create network namespaces.
///
/// # Errors
/// Returns the reason if not.
pub fn possible() -> Result<()> {
    let probe = format!("fabric-probe-{}", std::process::id());
    ip(&["netns", "add", &probe]).context("network namespaces need root and iproute2")?;
    ip(&["netns", "del", &probe])
}

fn ip(words: &[&str]) -> Result<()> {
    run("ip", words)
}

fn run(program: &str, words: &[&str]) -> Result<()> {
    let done = Command::new(program).args(words).output().with_context(|| program.to_owned())?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{program} {}: {}", words.join(" "), said.trim());
    Ok(())
}

/// A network bridge. The test process has its address 1.
#[derive(Debug)]
pub(crate) struct Bridge {
    name: String,
    net: [u8; 3],
    next: AtomicU8,
}

impl Bridge {
    pub(crate) fn new() -> Result<Arc<Self>> {
        static BRIDGES: AtomicU8 = AtomicU8::new(0);
        // The name and the network are unique to this process and this bridge, so that several tests can run
        // concurrently.
        let (id, n) = (std::process::id() & 0xfff, BRIDGES.fetch_add(1, Ordering::Relaxed) & 7);
        let [high, low] = (u16::try_from(id)? << 3 | u16::from(n)).to_be_bytes();
        let net = [10, 128 | high, low];
        let bridge = Self { name: format!("fab{high:02x}{low:02x}"), net, next: AtomicU8::new(2) };
        ip(&["link", "add", &bridge.name, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{}/24", bridge.at(1)), "dev", &bridge.name])?;
        ip(&["link", "set", &bridge.name, "up"])?;
        Ok(Arc::new(bridge))
    }

    fn at(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.net;
        Ipv4Addr::new(a, b, c, last)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = ip(&["link", "del", &self.name]);
    }
}

/// A network namespace with one interface on the bridge. It is deleted when dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    address: Ipv4Addr,
    _bridge: Arc<Bridge>,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.name]);
    }
}

impl Namespace {
    pub(crate) fn new(bridge: &Arc<Bridge>) -> Result<Self> {
        let last = bridge.next.fetch_add(1, Ordering::Relaxed);
        let namespace =
            Self { name: format!("{}-{last}", bridge.name), address: bridge.at(last), _bridge: Arc::clone(bridge) };
        let (name, outside) = (namespace.name.as_str(), format!("{}v{last}", bridge.name));
        ip(&["netns", "add", name])?;
        ip(&["link", "add", &outside, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        ip(&["link", "set", &outside, "master", &bridge.name, "up"])?;
        ip(&["-n", name, "addr", "add", &format!("{}/24", namespace.address), "dev", "eth0"])?;
        ip(&["-n", name, "link", "set", "eth0", "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> IpAddr {
        IpAddr::V4(self.address)
    }
}

/// Sets the network condition between a namespace and an address. [`Weather::Rough`] applies to the whole namespace: a
/// slow link with a short queue, which delays and drops packets.
pub(crate) fn set(namespace: &str, to: IpAddr, weather: Weather) -> Result<()> {
    let to = format!("{to}/32");
    for kind in ["unreachable", "blackhole"] {
        // This fails if there is no such route, which is the usual case.
        let _ = ip(&["-n", namespace, "route", "del", kind, &to]);
    }
    let _ = run("tc", &["-n", namespace, "qdisc", "del", "dev", "eth0", "root"]);
    match weather {
        Weather::Fair => Ok(()),
        Weather::Cut => ip(&["-n", namespace, "route", "replace", "unreachable", &to]),
        Weather::Stalled => ip(&["-n", namespace, "route", "replace", "blackhole", &to]),
        Weather::Rough { delay, .. } => {
            let late = format!("{}ms", delay.as_millis().max(1));
            let link = ["-n", namespace, "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", "4mbit"];
            run("tc", &[&link[..], &["burst", "16kb", "latency", &late]].concat())
        }
    }
}
