//! Forwards the sandbox's log lines to the activity records.

use fabric_host::{GuestLogLine, LogLevel, LogOrigin, LogSink};
use fabric_index::RecordSink;
use fabric_types::{
    Code, Fault,
    id::{FunctionName, InvocationId, TenantId},
    job::TaskId,
    rest::invocation::{LogLine, LogSource},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// The log sink of one call.
pub struct FunctionLogs {
    notes: RecordSink,
    tenant: TenantId,
    invocation: InvocationId,
    function: FunctionName,
    task: Option<TaskId>,
    any: AtomicBool,
    progress_ms: AtomicU64,
}

/// Minimum interval between progress lines in milliseconds, since a guest may report every step.
const PROGRESS_EVERY_MS: u64 = 1_000;

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

impl FunctionLogs {
    /// Creates the sink of an invocation, or of a task of a job.
    pub fn new(
        notes: RecordSink,
        tenant: TenantId,
        invocation: InvocationId,
        function: FunctionName,
        task: Option<TaskId>,
    ) -> Arc<Self> {
        let (any, progress_ms) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { notes, tenant, invocation, function, task, any, progress_ms })
    }

    /// Returns `true` if any line was written.
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    fn add(&self, source: LogSource, level: &str, message: String) {
        self.any.store(true, Ordering::Relaxed);
        let line = LogLine {
            at_ms: crate::api::now_ms(),
            invocation_id: self.invocation.clone(),
            function: self.function.clone(),
            task: self.task.map(|t| t.to_string()),
            source,
            level: level.to_owned(),
            message,
        };
        self.notes.log(self.tenant.clone(), line);
    }

    /// Logs the progress that a task reports.
    pub fn progress(&self, completed: u64, total: u64) {
        let now = crate::api::now_ms();
        let before = self.progress_ms.load(Ordering::Relaxed);
        if now.saturating_sub(before) < PROGRESS_EVERY_MS {
            return;
        }
        self.progress_ms.store(now, Ordering::Relaxed);
        let text =
            if total == 0 { format!("{completed} steps done") } else { format!("{completed} of {total} steps done") };
        self.add(LogSource::System, "info", text);
    }

    /// Logs the fault of the call. A cancellation by the caller is not an error of the function.
    pub fn fault(&self, fault: &Fault) {
        let level = if fault.code == Code::Cancelled { "info" } else { "error" };
        for line in fault.to_string().lines() {
            self.add(LogSource::System, level, line.to_owned());
        }
    }
}

impl LogSink for FunctionLogs {
    fn line(&self, line: GuestLogLine) {
        let source = match line.origin {
            LogOrigin::Log => LogSource::Log,
            LogOrigin::Stdout => LogSource::Stdout,
            LogOrigin::Stderr => LogSource::Stderr,
        };
        self.add(source, level(line.level), line.text);
    }
}
