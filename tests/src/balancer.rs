//! A TCP load balancer in front of a fleet. It sends each connection to the next ready process, probes every process a
//! few times per second, and never retries.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// Interval between probe rounds.
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// Timeout of one probe.
const PROBE: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Backend {
    address: SocketAddr,
    ready: bool,
}

#[derive(Debug, Default)]
struct Shared {
    backends: Mutex<Vec<Backend>>,
    next: AtomicUsize,
}

/// A running load balancer. It stops when dropped.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

fn address_of(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap_or(url).parse().unwrap()
}

async fn is_ready(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.starts_with(b"HTTP/1.1 200"))
    };
    timeout(PROBE, ask).await.is_ok_and(|answer| answer.unwrap_or(false))
}

impl Shared {
    async fn probe(self: Arc<Self>) {
        loop {
            let addresses: Vec<_> = self.backends.lock().unwrap().iter().map(|backend| backend.address).collect();
            for address in addresses {
                let ready = is_ready(address).await;
                // The backend may have been replaced during the probe.
                for backend in self.backends.lock().unwrap().iter_mut().filter(|backend| backend.address == address) {
                    backend.ready = ready;
                }
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }

    fn choose(&self) -> Option<SocketAddr> {
        let backends = self.backends.lock().unwrap();
        let ready: Vec<_> = backends.iter().filter(|backend| backend.ready).map(|backend| backend.address).collect();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        ready.get(turn % ready.len().max(1)).copied()
    }
}

async fn pass(shared: Arc<Shared>, mut client: TcpStream) {
    let Some(address) = shared.choose() else { return };
    if let Ok(mut server) = TcpStream::connect(address).await {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

impl Balancer {
    /// Starts a load balancer for the processes at `urls`.
    pub async fn start(urls: &[&str]) -> Self {
        let backend = |url: &&str| Backend { address: address_of(url), ready: false };
        let shared = Arc::new(Shared { backends: Mutex::new(urls.iter().map(backend).collect()), ..Shared::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(shared.clone().probe());
        let passing = shared.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(passing.clone(), client));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, shared, _tasks: tasks }
    }

    /// Returns the URL at which the balancer listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the backend at `from` with one at `to`. The new backend is not ready until a probe succeeds.
    pub fn moved(&self, from: &str, to: &str) {
        for backend in
            self.shared.backends.lock().unwrap().iter_mut().filter(|backend| backend.address == address_of(from))
        {
            *backend = Backend { address: address_of(to), ready: false };
        }
    }

    /// Returns the number of processes that were ready at their last probe.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.shared.backends.lock().unwrap().iter().filter(|backend| backend.ready).count()
    }
}
