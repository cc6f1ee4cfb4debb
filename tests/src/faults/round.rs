//! One round: starts a job, injects a fault while the job runs, and checks everything that must hold afterwards.

use super::{
    callers::Callers,
    doors::{Doors, passes},
    fault::{Fault, Strike},
    fleet::Fleet,
    work::Work,
};
use crate::Ended;
use anyhow::{Context as _, Result};
use rand::{Rng as _, RngExt as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;
use std::{fmt, time::Duration};
use tokio::{sync::watch, time::Instant};

/// Polling interval for the job.
const LOOK: Duration = Duration::from_millis(20);

/// The parameters of a round, drawn from a seed.
#[derive(Debug)]
pub struct Round {
    /// The seed of all random parameters.
    pub seed: u64,
    /// The fault to inject.
    pub fault: Fault,
    /// The job to disturb.
    pub work: Work,
    /// Progress of the job at which the fault is injected, in percent of its tasks.
    percent: u64,
    random: ChaCha8Rng,
}

impl Round {
    /// Draws a round from these faults and jobs.
    ///
    /// # Errors
    /// Returns an error if one of the lists is empty.
    pub fn draw(seed: u64, faults: &[Fault], works: &[Work]) -> Result<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let fault = *faults.choose(&mut random).context("no faults")?;
        let work = *works.choose(&mut random).context("no jobs")?;
        let percent = random.random_range(2..60);
        Ok(Self { seed, fault, work, percent, random })
    }

    /// Returns the seed of the next round.
    #[must_use]
    pub fn seed_after(seed: u64) -> u64 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(1);
        random.next_u64()
    }

    /// Runs the round.
    ///
    /// # Errors
    /// Returns the first check that does not hold.
    pub async fn run(mut self, fleet: &mut Fleet) -> Result<Outcome> {
        fleet.whole().await.context("before the round")?;
        let doors = fleet.doors();
        let strike = Strike::draw(self.fault, fleet, &mut self.random)?;
        let callers = Callers::start(&doors, &format!("{:016x}", self.seed));
        let spec = self.work.spec()?;
        let id = doors.ask("submitting", async |client| client.submit(&spec, None).await).await?.id.to_string();
        let total = fleet.undisturbed(self.work)?.job.tasks.total;
        let mut progress = Progress::watch(doors.clone(), id.clone());
        let before = progress.until(total * self.percent / 100).await?;
        let begun = Instant::now();
        let met = !before.ended;
        strike.strike(fleet, progress.over()).await.with_context(|| strike.what.clone())?;
        let (next, end) = progress.after(before.succeeded).await?;
        let account = callers.stop().await?;
        let restarted = fleet.whole().await?;
        let read = async |client: &fabric_client::Client| Ended::read(client, &id).await;
        let ended = doors.ask("the job that was disturbed", read).await?;
        ended.check(fleet.undisturbed(self.work)?).with_context(|| format!("job {id}"))?;
        account.check(&doors, fleet.undisturbed(Work::Small)?).await?;
        fleet.check_logs()?;
        Ok(Outcome {
            fault: self.fault,
            seed: self.seed,
            what: strike.what,
            work: self.work,
            met,
            recovered: next.saturating_duration_since(begun),
            ended: end.saturating_duration_since(begun),
            answered: account.answered,
            refused: account.refused,
            retries: ended.job.tasks.retries,
            restarted,
        })
    }
}

/// The result of a round that passed.
#[derive(Debug)]
pub struct Outcome {
    /// The injected fault.
    pub fault: Fault,
    /// The round's seed.
    pub seed: u64,
    /// The target and the parameters of the fault.
    pub what: String,
    /// The disturbed job.
    pub work: Work,
    /// `true` if the fault was injected before the end of the job.
    pub met: bool,
    /// Time from the fault to the next committed task.
    pub recovered: Duration,
    /// Time from the fault to the end of the job.
    pub ended: Duration,
    /// Requests of other clients that received a response.
    pub answered: u64,
    /// Requests of other clients that received an error.
    pub refused: u64,
    /// Retries of the job's tasks.
    pub retries: u64,
    /// Processes that exited and were restarted.
    pub restarted: Vec<&'static str>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, what, work, answered, refused, retries, .. } = self;
        let (fault, recovered, ended) = (self.fault.name(), self.recovered.as_secs_f64(), self.ended.as_secs_f64());
        write!(f, "seed {seed:016x} {fault} ({what}) {work:?} recovered {recovered:.1} s, job {ended:.1} s, ")?;
        write!(f, "{answered} answered, {refused} refused, {retries} retries")?;
        if !self.restarted.is_empty() {
            write!(f, ", {} exited and was restarted", self.restarted.join(" and "))?;
        }
        f.write_str(if self.met { ", ok" } else { ", ok (after the job's end)" })
    }
}

/// The progress of a job at one moment.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: Instant,
    succeeded: u64,
    ended: bool,
}

/// Polls a job through any process that responds.
struct Progress {
    points: watch::Receiver<Vec<Point>>,
    over: watch::Receiver<bool>,
    looking: tokio::task::JoinHandle<Result<()>>,
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Progress {
    fn watch(doors: Doors, id: String) -> Self {
        let (tell, points) = watch::channel(Vec::<Point>::new());
        let (tell_over, over) = watch::channel(false);
        let looking = tokio::spawn(async move {
            loop {
                for client in doors.clients() {
                    let job = match client.job(&id, None).await {
                        Ok(job) => job,
                        Err(error) if passes(&error) => continue,
                        Err(error) => return Err(error).context("polling the job"),
                    };
                    let (succeeded, ended) = (job.tasks.succeeded, job.state.is_terminal());
                    tell.send_modify(|points| points.push(Point { at: Instant::now(), succeeded, ended }));
                    if ended {
                        tell_over.send_replace(true);
                        return Ok(());
                    }
                    break;
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        Self { points, over, looking }
    }

    /// Returns a channel that turns `true` when the job has ended.
    fn over(&self) -> watch::Receiver<bool> {
        self.over.clone()
    }

    /// Waits until `wanted` tasks have succeeded or the job has ended.
    async fn until(&mut self, wanted: u64) -> Result<Point> {
        let there = |points: &Vec<Point>| points.last().is_some_and(|p| p.succeeded >= wanted || p.ended);
        let waited = self.points.wait_for(there).await;
        waited.context("the job could not be polled")?.last().copied().context("the job was not polled")
    }

    /// Waits for the end of the job. Returns the time at which more than `before` tasks had succeeded and the time of
    /// the end.
    async fn after(&mut self, before: u64) -> Result<(Instant, Instant)> {
        // The wait for the end itself has no timeout: each poll has one, and [`STUCK`] bounds the time without
        // progress.
        let mut most = before;
        loop {
            let more = self.points.wait_for(|points| points.last().is_some_and(|p| p.ended || p.succeeded > most));
            let points = tokio::time::timeout(STUCK, more).await.context("the job makes no progress")?;
            let points = points.context("the job could not be polled")?;
            let last = *points.last().context("the job was not polled")?;
            if last.ended {
                let first = points.iter().find(|p| p.succeeded > before).unwrap_or(&last).at;
                return Ok((first, last.at));
            }
            most = last.succeeded;
        }
    }
}

/// Time without progress after which a job counts as stuck. Only a failing test waits this long.
const STUCK: Duration = Duration::from_secs(120);
