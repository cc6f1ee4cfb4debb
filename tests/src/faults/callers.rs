//! Clients that send calls, jobs and objects while a fault is active. Each request must receive a response or an error,
//! and everything acknowledged must exist afterwards.

use super::{
    doors::{Doors, passes},
    member::Door,
    work::Work,
};
use crate::Ended;
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use fabric_client::{Client, InvokeRequest, UploadOptions};
use fabric_types::rest::invocation::InvocationState;
use std::{future::Future, time::Duration};
use tokio::{sync::watch, task::JoinSet};

/// Timeout after which a request without a response or an error counts as lost.
const SILENCE: Duration = Duration::from_secs(60);
/// Pause between the requests of one client, to bound the load.
const PACE: Duration = Duration::from_secs(1);
/// Maximum size of a response to a call, in bytes.
const LONGEST: u64 = 1 << 20;

/// Acknowledged requests, and the numbers of responses and errors.
#[derive(Debug, Default)]
pub(crate) struct Account {
    invocations: Vec<(String, String)>,
    jobs: Vec<String>,
    objects: Vec<(String, String)>,
    pub(crate) answered: u64,
    pub(crate) refused: u64,
}

impl Account {
    fn add(&mut self, other: Self) {
        self.invocations.extend(other.invocations);
        self.jobs.extend(other.jobs);
        self.objects.extend(other.objects);
        self.answered += other.answered;
        self.refused += other.refused;
    }

    /// Counts a response or an error that a fault explains. Any other error and a timeout fail the round.
    async fn call<T>(&mut self, what: &str, call: impl Future<Output = fabric_client::Result<T>>) -> Result<Option<T>> {
        let said = tokio::time::timeout(SILENCE, call).await;
        match said.with_context(|| format!("{what}: neither a response nor an error within a minute"))? {
            Ok(answer) => {
                self.answered += 1;
                Ok(Some(answer))
            }
            Err(error) if passes(&error) => {
                self.refused += 1;
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| format!("{what}: an error that no fault explains")),
        }
    }

    /// Sends the request with number `n`. The kinds alternate; most of them are calls and objects, which write no
    /// journal.
    async fn request(&mut self, client: &Client, n: u32, name: &str) -> Result<()> {
        match n % 8 {
            0 | 2 | 4 | 6 => {
                let echoed = async {
                    let answer = client.invoke("noop", InvokeRequest::new(name.to_owned())).await?;
                    answer.body.bytes(LONGEST).await
                };
                if let Some(body) = self.call("a call", echoed).await? {
                    ensure!(body == name, "a call returned the response of another call: {body:?} for {name}");
                }
            }
            3 => {
                let later = client.invoke_async("noop", InvokeRequest::new(name.to_owned()));
                if let Some(accepted) = self.call("an asynchronous call", later).await? {
                    self.invocations.push((accepted.id.to_string(), name.to_owned()));
                }
            }
            1 | 5 => {
                let path = format!("callers/{name}");
                let put =
                    async { client.put_bytes(&path, Bytes::from(name.to_owned()), &UploadOptions::default()).await };
                if self.call("storing an object", put).await?.is_some() {
                    self.objects.push((path.clone(), name.to_owned()));
                }
            }
            _ => {
                let spec = Work::Small.spec()?;
                if let Some(job) = self.call("submitting a job", client.submit(&spec, None)).await? {
                    self.jobs.push(job.id.to_string());
                }
            }
        }
        Ok(())
    }

    /// Checks that everything acknowledged exists and is correct.
    pub(crate) async fn check(&self, doors: &Doors, small: &Ended) -> Result<()> {
        for (path, body) in &self.objects {
            let read = async |client: &Client| client.get(path, &Default::default()).await?.bytes(LONGEST).await;
            let bytes = doors.ask(&format!("the object {path} that was stored"), read).await?;
            ensure!(bytes == body.as_bytes(), "the content of the object {path} differs from what was stored");
        }
        for (id, body) in &self.invocations {
            let read = async |client: &Client| {
                let wait = Some(Duration::from_secs(10));
                while let InvocationState::Queued | InvocationState::Running = client.invocation(id, wait).await?.state
                {
                }
                client.invocation_result(id).await?.bytes(LONGEST).await
            };
            let bytes = doors.ask(&format!("the call {id} that was accepted"), read).await?;
            ensure!(bytes == body.as_bytes(), "the result of the call {id} is not its own");
        }
        for id in &self.jobs {
            let read = async |client: &Client| {
                client.wait_job(id).await?;
                Ended::read(client, id).await
            };
            let ended = doors.ask(&format!("the job {id} that was accepted"), read).await?;
            ended.check(small).with_context(|| format!("job {id}"))?;
        }
        Ok(())
    }
}

/// Running clients, one for each process that accepts requests.
#[derive(Debug)]
pub(crate) struct Callers {
    stop: watch::Sender<bool>,
    running: JoinSet<Result<Account>>,
}

impl Callers {
    /// Starts one client for each process. `name` distinguishes their requests from those of other rounds.
    pub(crate) fn start(doors: &Doors, name: &str) -> Self {
        let (stop, mut running) = (watch::Sender::new(false), JoinSet::new());
        for (n, door) in doors.0.iter().enumerate() {
            let (stop, door, name) = (stop.subscribe(), door.clone(), format!("{name}-{n}"));
            running.spawn(client(door, name, stop));
        }
        Self { stop, running }
    }

    /// Stops the clients after their current requests and returns what was acknowledged.
    pub(crate) async fn stop(mut self) -> Result<Account> {
        self.stop.send_replace(true);
        let mut account = Account::default();
        while let Some(one) = self.running.join_next().await {
            account.add(one??);
        }
        Ok(account)
    }
}

async fn client(mut door: Door, name: String, mut stop: watch::Receiver<bool>) -> Result<Account> {
    let mut account = Account::default();
    for n in 0_u32.. {
        let client = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            open = door.wait_for(Option::is_some) => open?.clone(),
        };
        if let Some(client) = client {
            account.request(&client, n, &format!("{name}-{n}")).await?;
        }
        let _ = tokio::time::timeout(PACE, stop.wait_for(|stop| *stop)).await;
    }
    Ok(account)
}
