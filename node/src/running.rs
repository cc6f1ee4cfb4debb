//! What is running in this process, in a file of the data folder, so that the next process knows what was running when
//! this one died.
//!
//! An entry is written before its guest starts, which costs a write into the page cache and no flush: the cache outlives
//! the process, however it ends. When the whole machine goes down, no task is the cause, and the file does not count.
//! Neither does it after an orderly end.

use fabric_types::{
    digest::ModuleDigest,
    id::{FunctionName, JobId, NodeId, TenantId},
    job::TaskId,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
};

const NAME: &str = "running";
/// Bytes of the header and of each entry.
const ENTRY: usize = 512;
/// Entries at most; what runs beside so many is not noted.
const ENTRIES: u32 = 8192;
/// The last byte of the header: whether the end is in order.
const CLOSED_AT: u64 = ENTRY as u64 - 1;

/// Something that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// An attempt of a task.
    Task {
        /// Whose.
        tenant: TenantId,
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
    },
    /// A synchronous call or an http request.
    Call {
        /// Whose.
        tenant: TenantId,
        /// The function.
        function: FunctionName,
        /// Its module.
        module: ModuleDigest,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    node: NodeId,
    started_ms: u64,
    /// Which run of the machine it was.
    boot: String,
}

/// What a process that died left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Its name in the fleet.
    pub node: NodeId,
    /// When it had started.
    pub started_ms: u64,
    /// What was running.
    pub entries: Vec<Entry>,
}

fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// A value behind its length, as long as it fits.
fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let bytes = postcard::to_extend(value, vec![0, 0]).map_err(io::Error::other)?;
    let length = u16::try_from(bytes.len() - 2).ok().filter(|_| bytes.len() < ENTRY);
    let length = length.ok_or_else(|| io::Error::other("too long"))?;
    let mut bytes = bytes;
    if let Some(head) = bytes.first_chunk_mut::<2>() {
        *head = length.to_le_bytes();
    }
    Ok(bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    (length > 0).then(|| postcard::from_bytes(rest.get(..length)?).ok())?
}

/// What the process before this one left in the folder; none after an orderly end, or where the machine started anew.
pub(crate) fn left(folder: &Path) -> Option<Left> {
    let bytes = std::fs::read(folder.join(NAME)).ok()?;
    let (head, rest) = bytes.split_at_checked(ENTRY)?;
    let header: Header = decode(head)?;
    if head.last() != Some(&0) || header.boot != boot() {
        return None;
    }
    let entries = rest.chunks(ENTRY).filter_map(decode).collect();
    Some(Left { node: header.node, started_ms: header.started_ms, entries })
}

/// What was left is known: it counts once.
pub(crate) fn settle(folder: &Path) -> io::Result<()> {
    File::options().write(true).open(folder.join(NAME))?.write_all_at(&[1], CLOSED_AT)
}

/// The file.
#[derive(Debug, Default)]
pub(crate) struct RunningFile {
    file: Option<File>,
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    returned: Vec<u32>,
    next: u32,
}

impl RunningFile {
    /// Begins a new one in the folder, in the place of the one before.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn begin(folder: &Path, node: &NodeId, started_ms: u64) -> io::Result<Self> {
        let (path, beside) = (folder.join(NAME), folder.join("running.new"));
        let mut head = encode(&Header { node: node.clone(), started_ms, boot: boot() })?;
        head.resize(ENTRY, 0);
        let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all_at(&head, 0)?;
        std::fs::rename(&beside, &path)?;
        Ok(Self { file: Some(file), free: Mutex::default() })
    }

    /// A place for what will run. Nothing is noted where there is no file or no place.
    pub fn place(self: &Arc<Self>) -> Place {
        let mut free = self.free.lock();
        let place = free.returned.pop().or_else(|| {
            let next = free.next;
            (next < ENTRIES && self.file.is_some()).then(|| {
                free.next += 1;
                next
            })
        });
        drop(free);
        Place { file: Arc::clone(self), place, noted: false }
    }

    /// Says that the process ends in order.
    pub fn close(&self) {
        if let Some(file) = &self.file
            && let Err(error) = file.write_all_at(&[1], CLOSED_AT)
        {
            tracing::warn!(%error, "the orderly end could not be noted");
        }
    }
}

/// A place in the file; what is noted there counts as running until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    file: Arc<RunningFile>,
    place: Option<u32>,
    noted: bool,
}

impl Place {
    /// Notes what begins to run, in the place of what ran before.
    pub fn note(&mut self, entry: &Entry) {
        let (Some(file), Some(place)) = (&self.file.file, self.place) else { return };
        let at = (u64::from(place) + 1) * ENTRY as u64;
        match encode(entry).and_then(|bytes| file.write_all_at(&bytes, at)) {
            Ok(()) => self.noted = true,
            // A full disk: then a death is counted by who sees it from outside.
            Err(error) => tracing::debug!(%error, "what runs could not be noted"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (Some(file), Some(place)) = (&self.file.file, self.place) else { return };
        if self.noted {
            let _ = file.write_all_at(&[0, 0], (u64::from(place) + 1) * ENTRY as u64);
        }
        self.file.free.lock().returned.push(place);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry(index: u32) -> Entry {
        Entry::Task {
            tenant: TenantId::new("acme").unwrap(),
            job: JobId::from_parts(1, 1),
            task: TaskId { stage: 0, index },
        }
    }

    #[test]
    fn what_ran_is_there_after_a_death_and_not_after_an_orderly_end() {
        let folder = tempfile::tempdir().unwrap();
        let (path, node) = (folder.path(), NodeId::new("n-1").unwrap());
        assert_eq!(left(path), None);
        let file = Arc::new(RunningFile::begin(path, &node, 7).unwrap());
        let (mut first, mut second) = (file.place(), file.place());
        first.note(&entry(1));
        first.note(&entry(2));
        second.note(&entry(3));
        let call = Entry::Call {
            tenant: TenantId::new("t".repeat(63)).unwrap(),
            function: FunctionName::new("f".repeat(63)).unwrap(),
            module: ModuleDigest([9; 32]),
        };
        let mut third = file.place();
        third.note(&call);
        drop(second);
        let expected = Left { node: node.clone(), started_ms: 7, entries: vec![entry(2), call] };
        assert_eq!(left(path), Some(expected));
        // Its place is used again.
        file.place().note(&entry(4));
        drop((first, third));
        assert_eq!(left(path).unwrap().entries, []);
        file.place().note(&entry(5));
        file.close();
        assert_eq!(left(path), None);
        // Half a file, and what is no file of ours.
        std::fs::write(path.join(NAME), [255; 700]).unwrap();
        assert_eq!(left(path), None);
        std::fs::write(path.join(NAME), [1; 20]).unwrap();
        assert_eq!(left(path), None);
        let other = Arc::new(RunningFile::default());
        other.place().note(&entry(6));
    }
}
