//! A journal whose appends a test can hold back, or answer with an error although they succeeded.

use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::{
    Error,
    journal::{Journal, Record, StreamInfo},
};
use futures::stream::BoxStream;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::watch;

/// Controls a [`GatedJournal`].
#[derive(Clone)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    /// Appends until the one whose answer is lost; 0 if none is.
    lost_answer: Arc<AtomicUsize>,
}

impl Gate {
    /// Holds back all appends until [`Self::open`].
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Reports the `nth` append from now as failed although it takes effect.
    pub fn lose_answer(&self, nth: usize) {
        self.lost_answer.store(nth, Ordering::SeqCst);
    }
}

pub struct GatedJournal {
    inner: Arc<dyn Journal>,
    gate: Gate,
}

impl GatedJournal {
    pub fn new(inner: Arc<dyn Journal>) -> (Arc<Self>, Gate) {
        let gate = Gate { open: Arc::new(watch::Sender::new(true)), lost_answer: Arc::default() };
        (Arc::new(Self { inner, gate: gate.clone() }), gate)
    }
}

#[async_trait]
impl Journal for GatedJournal {
    async fn append(&self, stream: &str, expected_len: u64, records: Vec<Bytes>) -> Result<u64, Error> {
        self.gate.open.subscribe().wait_for(|open| *open).await.unwrap();
        let len = self.inner.append(stream, expected_len, records).await?;
        let left = self.gate.lost_answer.load(Ordering::SeqCst);
        self.gate.lost_answer.store(left.saturating_sub(1), Ordering::SeqCst);
        if left == 1 {
            let (context, source) = ("append".to_owned(), "the answer was lost".into());
            return Err(Error::Backend { backend: "test", context, source, retryable: true });
        }
        Ok(len)
    }

    async fn read(&self, stream: &str, from: u64, limit: usize) -> Result<Vec<Record>, Error> {
        self.inner.read(stream, from, limit).await
    }

    fn follow(&self, stream: &str, from: u64) -> BoxStream<'static, Result<Record, Error>> {
        self.inner.follow(stream, from)
    }

    async fn streams(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<StreamInfo>, Error> {
        self.inner.streams(prefix, after, limit).await
    }

    async fn delete(&self, stream: &str) -> Result<(), Error> {
        self.inner.delete(stream).await
    }
}
