//! The tasks and calls running in this process, recorded in a file of the data folder, so that the next process can
//! report them if this one died.
//!
//! An entry is written before its guest starts. This costs a write into the page cache without a flush, since the cache
//! survives the process in any case. After a restart of the whole machine, no task is the cause and the file does not
//! count, nor after an orderly end.

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
/// Size of the header and of each entry in bytes.
const ENTRY: usize = 512;
/// Maximum number of entries. Further guests are not recorded.
const ENTRIES: u32 = 8192;
/// Offset of the header's last byte: 1 after an orderly end.
const CLOSED_AT: u64 = ENTRY as u64 - 1;

/// A running guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// An attempt of a task.
    Task {
        /// The tenant.
        tenant: TenantId,
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
    },
    /// A synchronous call or an http request.
    Call {
        /// The tenant.
        tenant: TenantId,
        /// The function.
        function: FunctionName,
        /// The module.
        module: ModuleDigest,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    node: NodeId,
    started_ms: u64,
    /// The boot id of the machine.
    boot: String,
}

/// The record of a process that died.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// The node's name in the fleet.
    pub node: NodeId,
    /// Start time of the process in milliseconds since 1970.
    pub started_ms: u64,
    /// The guests that were running.
    pub entries: Vec<Entry>,
}

fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Encodes a value with a length prefix. Fails if it exceeds the size of an entry.
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

/// Reads the record of the previous process. Returns `None` after an orderly end or a restart of the machine.
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

/// Marks the record of the previous process as handled, so that it counts once.
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
    /// Creates a new file in the folder and replaces the previous one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(folder: &Path, node: &NodeId, started_ms: u64) -> io::Result<Self> {
        let (path, beside) = (folder.join(NAME), folder.join("running.new"));
        let mut head = encode(&Header { node: node.clone(), started_ms, boot: boot() })?;
        head.resize(ENTRY, 0);
        let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all_at(&head, 0)?;
        std::fs::rename(&beside, &path)?;
        Ok(Self { file: Some(file), free: Mutex::default() })
    }

    /// Returns a slot for a guest. Nothing is recorded without a file or a free slot.
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

    /// Records that the process ends in an orderly way.
    pub fn close(&self) {
        if let Some(file) = &self.file
            && let Err(error) = file.write_all_at(&[1], CLOSED_AT)
        {
            tracing::warn!(%error, "failed to record the orderly end");
        }
    }
}

/// A slot in the file. Its entry counts as running until the slot is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    file: Arc<RunningFile>,
    place: Option<u32>,
    noted: bool,
}

impl Place {
    /// Records a guest that starts, in place of the previous entry.
    pub fn note(&mut self, entry: &Entry) {
        let (Some(file), Some(place)) = (&self.file.file, self.place) else { return };
        let at = (u64::from(place) + 1) * ENTRY as u64;
        match encode(entry).and_then(|bytes| file.write_all_at(&bytes, at)) {
            Ok(()) => self.noted = true,
            // For instance because of a full disk. A death is then counted only by observers outside the process.
            Err(error) => tracing::debug!(%error, "failed to record a running guest"),
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
        // The slot of `second` is reused.
        file.place().note(&entry(4));
        drop((first, third));
        assert_eq!(left(path).unwrap().entries, []);
        file.place().note(&entry(5));
        file.close();
        assert_eq!(left(path), None);
        // A truncated file, and one of another format.
        std::fs::write(path.join(NAME), [255; 700]).unwrap();
        assert_eq!(left(path), None);
        std::fs::write(path.join(NAME), [1; 20]).unwrap();
        assert_eq!(left(path), None);
        let other = Arc::new(RunningFile::default());
        other.place().note(&entry(6));
    }
}
