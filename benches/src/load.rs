//! Concurrent HTTP load like that of `ab`: a new connection for each request, timed from the connect to the last byte.
//! `ab` sends equal bodies, for which a pure function's results come from the cache; here every body is different.

use anyhow::{Context as _, bail, ensure};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// The percentiles that `ab` prints.
pub const PERCENTS: [usize; 9] = [50, 66, 75, 80, 90, 95, 98, 99, 100];
/// Timeout of one request. Only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A kind of request.
#[derive(Clone)]
pub enum Ask {
    /// `GET` of a path, with the expected body.
    Get(&'static str, &'static str),
    /// A call of a function that echoes its body. Every body is different.
    Echo(&'static str),
}

/// The address and the token of a server.
#[derive(Clone)]
pub struct Door {
    /// Host and port.
    pub address: String,
    /// Bearer token.
    pub token: String,
}

/// The times of a run.
#[derive(Default)]
pub struct Taken {
    /// Milliseconds of each request.
    pub each_ms: Vec<f64>,
    /// Seconds of the whole run.
    pub wall_s: f64,
}

impl Taken {
    /// Returns the percentile of the request times, in milliseconds.
    pub fn within(&self, percent: usize) -> f64 {
        let mut sorted = self.each_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(at).copied().unwrap_or(0.0)
    }

    /// Returns the mean, in milliseconds.
    pub fn mean(&self) -> f64 {
        self.each_ms.iter().sum::<f64>() / self.each_ms.len().max(1) as f64
    }

    /// Adds another run.
    pub fn add(&mut self, other: Self) {
        self.each_ms.extend(other.each_ms);
        self.wall_s += other.wall_s;
    }
}

fn request(door: &Door, ask: &Ask, body: &str) -> String {
    let (line, more) = match ask {
        Ask::Get(path, _) => (format!("GET {path}"), String::new()),
        Ask::Echo(function) => (
            format!("POST /v1/functions/{function}/invoke"),
            format!("authorization: Bearer {}\r\ncontent-length: {}\r\n", door.token, body.len()),
        ),
    };
    let body = if matches!(ask, Ask::Get(..)) { "" } else { body };
    format!("{line} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{more}\r\n{body}", door.address)
}

async fn one(door: &Door, ask: &Ask, body: &str) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(&door.address).await?;
    stream.write_all(request(door, ask, body).as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    stream.read_to_end(&mut answer).await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    let answer = String::from_utf8_lossy(&answer);
    let wanted = if let Ask::Get(_, wanted) = ask { wanted } else { body };
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{} answered {answer}", door.address);
    // The body may be chunked, so its position is not fixed.
    ensure!(answer.contains(wanted), "{} answered without `{wanted}`: {answer}", door.address);
    Ok(took)
}

/// Sends the requests from concurrent clients, which are distributed over the servers. Bodies begin with `mark`.
///
/// # Errors
/// The first unexpected response.
pub async fn run(doors: &[Door], ask: &Ask, requests: usize, clients: usize, mark: &str) -> anyhow::Result<Taken> {
    let (next, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut running = JoinSet::new();
    for (_, door) in (0..clients).zip(doors.iter().cycle()) {
        let (next, door, ask, mark) = (next.clone(), door.clone(), ask.clone(), mark.to_owned());
        running.spawn(async move {
            let mut each_ms = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= requests {
                    return anyhow::Ok(each_ms);
                }
                let took = tokio::time::timeout(PATIENCE, one(&door, &ask, &format!("{mark}-{n}"))).await;
                each_ms.push(took.with_context(|| format!("{} does not answer", door.address))??);
            }
        });
    }
    let mut taken = Taken::default();
    while let Some(done) = running.join_next().await {
        taken.each_ms.extend(done??);
    }
    taken.wall_s = began.elapsed().as_secs_f64();
    if taken.each_ms.len() != requests {
        bail!("{} requests of {requests} were answered", taken.each_ms.len());
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]
    use super::*;

    #[test]
    fn so_many_percent_are_answered_within_it() {
        let taken = Taken { each_ms: (1..=200).rev().map(f64::from).collect(), wall_s: 1.0 };
        assert_eq!(PERCENTS.map(|p| taken.within(p)), [100.0, 132.0, 150.0, 160.0, 180.0, 190.0, 196.0, 198.0, 200.0]);
        assert_eq!(Taken { each_ms: vec![7.0], wall_s: 1.0 }.within(50), 7.0);
        assert_eq!(Taken::default().within(100), 0.0);
    }
}
