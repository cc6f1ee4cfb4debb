//! A settable wall clock for one process: `clock.c`, compiled with the machine's C compiler and loaded with
//! `LD_PRELOAD`. Monotonic clocks are unaffected, as when an operator or a time server sets the clock.

use anyhow::{Context as _, Result, ensure};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const SOURCE: &str = include_str!("clock.c");

/// A wall clock with an adjustable offset, initially zero.
#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    ahead: PathBuf,
}

impl Clock {
    /// Compiles the library into `folder`. All clocks can share the library.
    pub(crate) fn compile(folder: &Path) -> Result<PathBuf> {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        std::fs::write(&source, SOURCE)?;
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let done = cc.output().context("cc: a C compiler is needed, as for the build")?;
        ensure!(done.status.success(), "cc: {}", String::from_utf8_lossy(&done.stderr));
        Ok(library)
    }

    pub(crate) fn new(library: &Path, folder: &Path) -> Result<Self> {
        let clock = Self { library: library.to_owned(), ahead: folder.join("clock-ahead") };
        std::fs::write(&clock.ahead, 0_i64.to_ne_bytes())?;
        Ok(clock)
    }

    /// Returns the environment variables of the process.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("FAULTS_CLOCK", &self.ahead)]
    }

    /// Sets the offset in seconds, effective immediately. The file is written in place, since the process has it
    /// mapped.
    pub(crate) fn set(&self, ahead_s: i64) -> Result<()> {
        use std::os::unix::fs::FileExt as _;
        let file = std::fs::File::options().write(true).open(&self.ahead)?;
        Ok(file.write_all_at(&ahead_s.to_ne_bytes(), 0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_process_sees_the_time_that_was_set() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::new(&Clock::compile(folder.path()).unwrap(), folder.path()).unwrap();
        let date = || {
            let said = Command::new("date").arg("+%s").envs(clock.environment()).output().unwrap();
            let seconds = String::from_utf8(said.stdout).unwrap().trim().parse().unwrap();
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
        };
        let (hour, right) = (Duration::from_secs(3600), SystemTime::now());
        assert!(date() < right + hour && date() + hour > right);
        clock.set(86_400).unwrap();
        assert!(date() > right + hour);
        clock.set(-86_400).unwrap();
        assert!(date() + hour < right);
    }
}
