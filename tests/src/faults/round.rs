//! One round: a job begins, a fault strikes in its middle, and everything that must be true afterwards is.

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

/// How often a job is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What a seed says of a round.
#[derive(Debug)]
pub struct Round {
    /// What everything is drawn from.
    pub seed: u64,
    /// What happens.
    pub fault: Fault,
    /// To which job.
    pub work: Work,
    /// After which share of its tasks, in percent.
    percent: u64,
    random: ChaCha8Rng,
}

impl Round {
    /// Draws a round; of these faults, and these jobs.
    ///
    /// # Errors
    /// When one of the lists is empty.
    pub fn draw(seed: u64, faults: &[Fault], works: &[Work]) -> Result<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let fault = *faults.choose(&mut random).context("no faults")?;
        let work = *works.choose(&mut random).context("no jobs")?;
        let percent = random.random_range(2..60);
        Ok(Self { seed, fault, work, percent, random })
    }

    /// The seed of the round that follows one.
    #[must_use]
    pub fn seed_after(seed: u64) -> u64 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(1);
        random.next_u64()
    }

    /// Runs it.
    ///
    /// # Errors
    /// The first thing that is not as it must be.
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

/// How a round went.
#[derive(Debug)]
pub struct Outcome {
    /// What happened.
    pub fault: Fault,
    /// The round's seed.
    pub seed: u64,
    /// To whom, and how long.
    pub what: String,
    /// Which job was disturbed.
    pub work: Work,
    /// Whether the fault met the job before its end.
    pub met: bool,
    /// From the fault to the next committed progress.
    pub recovered: Duration,
    /// From the fault to the job's end.
    pub ended: Duration,
    /// Requests of other clients that were answered.
    pub answered: u64,
    /// Requests of other clients that got an error.
    pub refused: u64,
    /// Attempts of the job that were repeated.
    pub retries: u64,
    /// Processes that ended by themselves and were started again.
    pub restarted: Vec<&'static str>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, what, work, answered, refused, retries, .. } = self;
        let (fault, recovered, ended) = (self.fault.name(), self.recovered.as_secs_f64(), self.ended.as_secs_f64());
        write!(f, "seed {seed:016x} {fault} ({what}) {work:?} recovered {recovered:.1} s, job {ended:.1} s, ")?;
        write!(f, "{answered} answered, {refused} refused, {retries} retries")?;
        if !self.restarted.is_empty() {
            write!(f, ", {} ended and was started again", self.restarted.join(" and "))?;
        }
        f.write_str(if self.met { ", ok" } else { ", ok (after the job's end)" })
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: Instant,
    succeeded: u64,
    ended: bool,
}

/// Looks at a job all the time, through whichever door opens.
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
                        Err(error) => return Err(error).context("looking at the job"),
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

    /// Tells when the job has ended.
    fn over(&self) -> watch::Receiver<bool> {
        self.over.clone()
    }

    /// Waits until so many tasks have succeeded, or the job has ended.
    async fn until(&mut self, wanted: u64) -> Result<Point> {
        let there = |points: &Vec<Point>| points.last().is_some_and(|p| p.succeeded >= wanted || p.ended);
        let waited = self.points.wait_for(there).await;
        waited.context("nobody could look at the job")?.last().copied().context("no look at the job")
    }

    /// Waits for the job's end; gives when it first had more than so many tasks, and when it ended.
    async fn after(&mut self, before: u64) -> Result<(Instant, Instant)> {
        // The end is patient: each look has its own limit, and a job that makes no progress is seen below.
        let mut most = before;
        loop {
            let more = self.points.wait_for(|points| points.last().is_some_and(|p| p.ended || p.succeeded > most));
            let points = tokio::time::timeout(STUCK, more).await.context("the job makes no progress")?;
            let points = points.context("nobody could look at the job")?;
            let last = *points.last().context("no look at the job")?;
            if last.ended {
                let first = points.iter().find(|p| p.succeeded > before).unwrap_or(&last).at;
                return Ok((first, last.at));
            }
            most = last.succeeded;
        }
    }
}

/// How long a job may make no progress before it counts as stuck. Only a failure takes this long.
const STUCK: Duration = Duration::from_secs(120);
