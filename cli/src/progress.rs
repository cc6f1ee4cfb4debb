//! Progress of transfers and jobs: a bar on a terminal, occasional lines elsewhere.

use crate::{number, output::Out, text::one_line, times};
use fabric_types::{
    Cost,
    rest::job::{JobEvent, TaskCounts},
    units::ByteSize,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// Time before the first progress is shown.
pub const SHOW_AFTER: Duration = Duration::from_secs(1);
/// Minimum interval between plain lines.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Creates a bar for bytes, hidden without a terminal or for a transfer below 1 MiB.
pub fn transfer(out: &Out, quiet: bool, total: u64, name: &str) -> ProgressBar {
    if quiet || out.json || !out.stderr_is_terminal || total < (1 << 20) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
    bar.set_style(style("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}"));
    bar.set_message(one_line(name));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The progress display of a job.
pub struct JobProgress<'a> {
    out: &'a Out,
    bar: Option<ProgressBar>,
    silent: bool,
    started: Instant,
    last_line: Option<Instant>,
    first_ms: Option<u64>,
    latest: Option<JobEvent>,
    waiting: Option<String>,
}

impl<'a> JobProgress<'a> {
    /// Creates a display: a bar on a terminal, lines elsewhere, nothing if `quiet`.
    pub fn new(out: &'a Out, quiet: bool) -> Self {
        Self {
            out,
            bar: None,
            silent: quiet,
            started: Instant::now(),
            last_line: None,
            first_ms: None,
            latest: None,
            waiting: None,
        }
    }

    /// Returns `true` if no task of the job ran at its last event and the display is not quiet.
    pub fn is_idle(&self) -> bool {
        !self.silent && self.latest.as_ref().is_none_or(|event| event.tasks.running == 0)
    }

    /// Sets the reason for which no task of the job runs.
    pub fn waits(&mut self, why: Option<String>) {
        self.waiting = why;
    }

    /// Records the job's state and updates the display.
    pub fn update(&mut self, event: JobEvent) {
        // Both times are the server's, so the speed is also right if the job has run for a while.
        self.first_ms.get_or_insert(event.at_ms);
        if event.tasks.running > 0 {
            self.waiting = None;
        }
        self.latest = Some(event);
        self.show();
    }

    /// Shows the job's state; nothing in the first second.
    pub fn show(&mut self) {
        let (Some(event), Some(first_ms)) = (&self.latest, self.first_ms) else { return };
        if self.silent || self.started.elapsed() < SHOW_AFTER {
            return;
        }
        let mut text = line(&event.tasks, &event.cost, Duration::from_millis(event.at_ms.saturating_sub(first_ms)));
        if let Some(why) = &self.waiting {
            text += &format!("; waiting: {why}");
        }
        if self.out.stderr_is_terminal {
            let bar = self.bar.get_or_insert_with(|| {
                let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
                bar.set_style(style("{bar:30} {wide_msg}"));
                bar
            });
            bar.set_length(event.tasks.total);
            bar.set_position(event.tasks.succeeded + event.tasks.failed);
            bar.set_message(text);
        } else if self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            self.out.note(text);
        }
    }

    /// Writes a note above the bar.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(crate::text::clean(text)),
            None if self.silent => {}
            None => self.out.note(text),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Formats progress as `12/64 tasks, 2 running, 3.1 MiB/s, 1.2G fuel, 5.0 s left`.
pub fn line(tasks: &TaskCounts, cost: &Cost, elapsed: Duration) -> String {
    let mut parts = vec![format!("{}/{} tasks", tasks.succeeded, tasks.total), format!("{} running", tasks.running)];
    if tasks.failed > 0 {
        parts.push(format!("{} failed", tasks.failed));
    }
    if tasks.retries > 0 {
        parts.push(format!("{} retries", tasks.retries));
    }
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 && cost.bytes_in > 0 {
        parts.push(format!("{}/s", ByteSize((cost.bytes_in as f64 / seconds) as u64)));
    }
    parts.push(format!("{} fuel", number::short(cost.fuel)));
    // Cached tasks took no time, so the estimate leaves them out.
    let ran = tasks.succeeded.saturating_sub(tasks.cached);
    let left = tasks.total.saturating_sub(tasks.succeeded + tasks.failed);
    if ran > 0 && left > 0 {
        let ms = seconds * 1000.0 / ran as f64 * left as f64;
        parts.push(format!("{} left", times::format_duration(ms as u64)));
    }
    parts.join(", ")
}

/// Formats GPU time as `, 12 ms on the GPU`, or as an empty text for none.
fn gpu_time(micros: u64) -> String {
    if micros == 0 { String::new() } else { format!(", {} on the GPU", times::format_duration(micros.div_ceil(1000))) }
}

/// Formats the cost of a job, in one to three lines.
pub fn summary(tasks: &TaskCounts, cost: &Cost, run_ms: u64) -> String {
    let guest_ms = cost.wall_us / 1000;
    let mut text = format!(
        "{} in {}: {} fuel, {} of guest time{}, {} read, {} written",
        number::counted(tasks.succeeded, "task"),
        times::format_duration(run_ms),
        number::grouped(cost.fuel),
        times::format_duration(guest_ms),
        gpu_time(cost.gpu_us),
        ByteSize(cost.bytes_in),
        ByteSize(cost.bytes_out),
    );
    if tasks.dead > 0 {
        text += &format!("\n{} given up: see fabric dead-letters", number::counted(tasks.dead, "task"));
    }
    if tasks.cached > 0 {
        text += &format!("\n{} of {} tasks served from the cache", tasks.cached, tasks.total);
        if tasks.cached == tasks.total {
            text += &format!(", {} fuel", cost.fuel);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_there_is_to_say() {
        let mut tasks = TaskCounts { total: 64, running: 2, succeeded: 12, ..TaskCounts::default() };
        let cost = Cost { fuel: 1_200_000_000, wall_us: 4_000_000, gpu_us: 0, bytes_in: 4 << 20, bytes_out: 100 };
        assert_eq!(
            line(&tasks, &cost, Duration::from_secs(2)),
            "12/64 tasks, 2 running, 2 MiB/s, 1.2G fuel, 8.7 s left"
        );
        tasks = TaskCounts { total: 3, succeeded: 3, cached: 3, ..TaskCounts::default() };
        assert_eq!(
            summary(&tasks, &Cost::default(), 12),
            "3 tasks in 12 ms: 0 fuel, 0 ms of guest time, 0 B read, 0 B written\n3 of 3 tasks served from the cache, 0 fuel"
        );
    }
}
