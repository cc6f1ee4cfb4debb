//! A TCP proxy with an adjustable network condition: it forwards, delays, stalls or breaks connections.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Bytes forwarded at once.
const PIECE: usize = 128 << 10;
/// Minimum delay of a lost segment: TCP's first retransmission timeout.
const SENT_AGAIN: Duration = Duration::from_millis(200);

/// The condition of a network link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weather {
    /// No fault.
    #[default]
    Fair,
    /// Existing and new connections are closed.
    Cut,
    /// Connections stay open and nothing passes, as behind a firewall that drops packets. Data passes once the
    /// condition ends.
    Stalled,
    /// Pieces are delayed, some are lost and retransmitted, and a few connections break.
    Rough {
        /// Maximum delay of a piece.
        delay: Duration,
        /// Pieces per thousand that are lost and retransmitted.
        lost: u32,
    },
}

/// A running proxy. Dropping it closes its connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    serving: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    /// Starts a proxy for `to`. Delays and losses are drawn from the seed.
    pub(crate) async fn start(to: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (weather, told) = watch::channel(Weather::Fair);
        let serving = tokio::spawn(async move {
            let mut open = JoinSet::new();
            for stream in 0.. {
                let Ok((client, _)) = listener.accept().await else { return };
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                random.set_stream(stream);
                open.spawn(carry(client, to, told.clone(), random));
                while open.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, weather, serving })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn carry(client: TcpStream, to: SocketAddr, mut weather: watch::Receiver<Weather>, mut random: ChaCha8Rng) {
    if !passes(&mut weather).await {
        return;
    }
    let Ok(server) = TcpStream::connect(to).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let back = ChaCha8Rng::seed_from_u64(random.random());
    let (there_weather, back_weather) = (weather.clone(), weather.clone());
    // The first to end closes both directions.
    tokio::select! {
        () = pump(from_client, to_server, there_weather, random) => {}
        () = pump(from_server, to_client, back_weather, back) => {}
        _ = weather.wait_for(|weather| *weather == Weather::Cut) => {}
    }
}

/// Waits while the link is stalled. Returns `false` if the connection breaks.
async fn passes(weather: &mut watch::Receiver<Weather>) -> bool {
    let now = weather.wait_for(|weather| *weather != Weather::Stalled).await;
    now.is_ok_and(|weather| *weather != Weather::Cut)
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
    mut random: ChaCha8Rng,
) {
    let mut bytes = vec![0; PIECE];
    while let Ok(n) = from.read(&mut bytes).await
        && n > 0
    {
        if !passes(&mut weather).await {
            return;
        }
        let now = *weather.borrow();
        if let Weather::Rough { delay, lost } = now {
            if random.random_ratio(lost, 20_000) {
                return;
            }
            let mut late = delay.mul_f64(random.random());
            let mut again = SENT_AGAIN;
            while random.random_ratio(lost, 1000) {
                late += again;
                again *= 2;
            }
            tokio::time::sleep(late).await;
        }
        if to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn says(stream: &mut TcpStream, text: &[u8; 4]) -> io::Result<[u8; 4]> {
        stream.write_all(text).await?;
        let mut back = [0; 4];
        stream.read_exact(&mut back).await?;
        Ok(back)
    }

    #[tokio::test]
    async fn weather_changes_what_passes() {
        let proxy = Proxy::start(echo().await, 1).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(&says(&mut stream, b"fair").await.unwrap(), b"fair");

        proxy.set(Weather::Rough { delay: Duration::from_millis(2), lost: 0 });
        assert_eq!(&says(&mut stream, b"late").await.unwrap(), b"late");

        // A stalled link delivers nothing, and everything once it recovers.
        proxy.set(Weather::Stalled);
        let mut said = Box::pin(says(&mut stream, b"hold"));
        assert!(timeout(Duration::from_millis(100), &mut said).await.is_err());
        proxy.set(Weather::Fair);
        assert_eq!(&said.await.unwrap(), b"hold");

        // A cut breaks existing connections and closes new ones.
        proxy.set(Weather::Cut);
        assert!(says(&mut stream, b"gone").await.is_err());
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(says(&mut stream, b"gone").await.is_err());
        proxy.set(Weather::Fair);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(&says(&mut stream, b"back").await.unwrap(), b"back");
    }
}
