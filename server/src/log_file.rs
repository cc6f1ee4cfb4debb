//! The server's log in a file that this process rotates. Rotation loses no output: the file is renamed, and standard
//! output and error, panics included, are redirected to a new one.

use crate::Error;
use std::{
    fs::File,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};

/// Interval between checks of the file's size.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The path and the size limits of a log.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    /// The current file; older ones are next to it, `.1` the latest.
    pub path: PathBuf,
    /// Size in bytes at which the file is rotated.
    pub size: u64,
    /// Number of files to keep, the current one included; at least 1.
    pub files: usize,
}

impl LogFile {
    /// Redirects standard output and error to the file. Keeps the file's content.
    ///
    /// # Errors
    /// Fails if the file can't be opened for writing.
    pub(crate) fn redirect_output(&self) -> Result<(), Error> {
        self.redirect().map_err(|e| Error::io(format!("log-file `{}`", self.path.display()), e))
    }

    fn redirect(&self) -> io::Result<()> {
        let file = File::options().create(true).append(true).mode(0o600).open(&self.path)?;
        rustix::stdio::dup2_stdout(&file)?;
        Ok(rustix::stdio::dup2_stderr(&file)?)
    }

    /// Rotates the file whenever it is full. Never returns.
    pub(crate) async fn rotate_when_full(self) {
        let mut every = interval(CHECK_INTERVAL);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let length = std::fs::metadata(&self.path).map_or(0, |m| m.len());
            if length >= self.size
                && let Err(error) = shift(&self.path, self.files).and_then(|()| self.redirect())
            {
                tracing::warn!(%error, file = %self.path.display(), "log rotation failed, retrying");
            }
        }
    }
}

/// Returns the path of the `n`th older file.
fn older(path: &Path, n: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

/// Renames each file to the next older name. Removes the oldest of `files`.
fn shift(path: &Path, files: usize) -> io::Result<()> {
    if files <= 1 {
        return std::fs::remove_file(path);
    }
    for n in (1..files - 1).rev() {
        match std::fs::rename(older(path, n), older(path, n + 1)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    std::fs::rename(path, older(path, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_files_are_kept_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n1.log");
        for n in 1..=5 {
            std::fs::write(&path, n.to_string()).unwrap();
            shift(&path, 3).unwrap();
        }
        std::fs::write(&path, "6").unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!((read(&path), read(&older(&path, 1)), read(&older(&path, 2))), ("6".into(), "5".into(), "4".into()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        shift(&path, 1).unwrap();
        assert!(!path.exists());
    }
}
