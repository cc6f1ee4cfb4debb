//! A server's process, as `/proc` shows it. Linux only, like the sandbox's own limits.

use std::path::PathBuf;

/// A process id.
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

    /// Returns the user that runs the test.
    #[must_use]
    pub fn own_user() -> u32 {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata("/proc/self").expect("/proc is mounted").uid()
    }

    /// Returns `true` if the test itself runs as root.
    #[must_use]
    pub fn is_root() -> bool {
        Self::own_user() == 0
    }

    /// Sends a signal, such as `STOP`.
    pub fn signal(self, name: &str) {
        let sent =
            std::process::Command::new("kill").args([&format!("-{name}"), &self.0.to_string()]).status().unwrap();
        assert!(sent.success(), "signal {name}");
    }

    /// Returns the resident memory in bytes.
    #[must_use]
    pub fn resident(self) -> u64 {
        self.status("VmRSS") * 1024
    }

    /// Returns the peak resident memory in bytes since the start or since [`Self::forget_peak`].
    #[must_use]
    pub fn peak(self) -> u64 {
        self.status("VmHWM") * 1024
    }

    /// Resets the peak to the current resident memory.
    pub fn forget_peak(self) {
        std::fs::write(self.proc("clear_refs"), "5").unwrap();
    }

    /// Returns the number of threads.
    #[must_use]
    pub fn threads(self) -> u64 {
        self.status("Threads")
    }

    /// Returns the number of open file descriptors.
    #[must_use]
    pub fn descriptors(self) -> usize {
        std::fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Returns the number of child processes, such as compile workers. Zombies count.
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
