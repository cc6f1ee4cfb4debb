//! From the sandbox's lines to the notes.

use fabric_host::{LogLevel, LogLine as Line, LogOrigin, LogSink};
use fabric_index::Notes;
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

/// Takes the lines of one call.
pub struct FunctionLogs {
    notes: Notes,
    tenant: TenantId,
    invocation: InvocationId,
    function: FunctionName,
    task: Option<TaskId>,
    any: AtomicBool,
    progress_ms: AtomicU64,
}

/// Progress is noted this often at most, in milliseconds: a guest may report every step.
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
    /// Lines of an invocation, or of a task of a job.
    pub fn new(
        notes: Notes,
        tenant: TenantId,
        invocation: InvocationId,
        function: FunctionName,
        task: Option<TaskId>,
    ) -> Arc<Self> {
        let (any, progress_ms) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { notes, tenant, invocation, function, task, any, progress_ms })
    }

    /// Whether there was a line.
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

    /// Notes how far a task says it is.
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

    /// Adds how the call failed. That its caller left is no error of the function's.
    pub fn fault(&self, fault: &Fault) {
        let level = if fault.code == Code::Cancelled { "info" } else { "error" };
        for line in fault.to_string().lines() {
            self.add(LogSource::System, level, line.to_owned());
        }
    }
}

impl LogSink for FunctionLogs {
    fn line(&self, line: Line) {
        let source = match line.origin {
            LogOrigin::Log => LogSource::Log,
            LogOrigin::Stdout => LogSource::Stdout,
            LogOrigin::Stderr => LogSource::Stderr,
        };
        self.add(source, level(line.level), line.text);
    }
}
