//! A TCP proxy in front of the S3 server that forwards a request, waits for its answer, and closes the connection
//! instead of returning the answer.

use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

#[derive(Default)]
struct Plan {
    /// Part of the path of the requests with lost answers.
    path: Option<String>,
    /// Number of answers still to lose.
    left: u32,
}

#[derive(Clone)]
pub struct Proxy {
    pub port: u16,
    plan: Arc<Mutex<Plan>>,
    lost: Arc<AtomicU32>,
    _task: Arc<tokio::task::JoinHandle<()>>,
}

impl Proxy {
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (plan, lost) = (Arc::<Mutex<Plan>>::default(), Arc::<AtomicU32>::default());
        let shared = (Arc::clone(&plan), Arc::clone(&lost));
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (plan, lost) = (Arc::clone(&shared.0), Arc::clone(&shared.1));
                open.spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                    forward(client, server, &plan, &lost).await;
                });
            }
        });
        Self { port, plan, lost, _task: Arc::new(task) }
    }

    /// Loses the answers to the next `count` writes to a path that contains `path`.
    pub fn lose(&self, path: &str, count: u32) {
        *self.plan.lock() = Plan { path: Some(path.to_owned()), left: count };
    }

    /// Returns the number of answers lost since the last call.
    pub fn lost(&self) -> u32 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

async fn forward(client: TcpStream, server: TcpStream, plan: &Mutex<Plan>, lost: &AtomicU32) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let doomed = AtomicBool::new(false);
    let requests = async {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(n) = from_client.read(&mut bytes).await
            && n > 0
        {
            let line = String::from_utf8_lossy(&bytes[..n.min(2048)]).lines().next().unwrap_or_default().to_owned();
            if line.starts_with("PUT ") {
                let mut plan = plan.lock();
                if plan.left > 0 && plan.path.as_ref().is_some_and(|path| line.contains(path.as_str())) {
                    plan.left -= 1;
                    doomed.store(true, Ordering::Relaxed);
                }
            }
            if to_server.write_all(&bytes[..n]).await.is_err() {
                return;
            }
        }
    };
    let answers = async {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(n) = from_server.read(&mut bytes).await
            && n > 0
        {
            if doomed.load(Ordering::Relaxed) {
                lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if to_client.write_all(&bytes[..n]).await.is_err() {
                return;
            }
        }
    };
    // The end of either direction closes both.
    tokio::select! {
        () = requests => {}
        () = answers => {}
    }
}
