//! A server's process as the operating system sees it. Linux only, as the sandbox's own limits are.

use std::path::PathBuf;

/// A process.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    fn proc(self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.0))
    }

    fn status(self, field: &str) -> u64 {
        let text = std::fs::read_to_string(self.proc("status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Whether this process itself is root's.
    #[must_use]
    pub fn is_root() -> bool {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(self, name: &str) {
        let sent =
            std::process::Command::new("kill").args([&format!("-{name}"), &self.0.to_string()]).status().unwrap();
        assert!(sent.success(), "signal {name}");
    }

    /// Resident memory, bytes.
    #[must_use]
    pub fn resident(self) -> u64 {
        self.status("VmRSS") * 1024
    }

    /// The most resident memory since the start or [`Self::forget_peak`], bytes.
    #[must_use]
    pub fn peak(self) -> u64 {
        self.status("VmHWM") * 1024
    }

    /// Begins a new peak at what is resident now.
    pub fn forget_peak(self) {
        std::fs::write(self.proc("clear_refs"), "5").unwrap();
    }

    /// Threads.
    #[must_use]
    pub fn threads(self) -> u64 {
        self.status("Threads")
    }

    /// Open file descriptors.
    #[must_use]
    pub fn descriptors(self) -> usize {
        std::fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Child processes, such as compile workers; dead ones that nobody waited for count.
    #[must_use]
    pub fn children(self) -> usize {
        let parent = format!("PPid:\t{}", self.0);
        let statuses = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("status"));
        statuses
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .filter(|s| s.lines().any(|l| l == parent))
            .count()
    }
}
