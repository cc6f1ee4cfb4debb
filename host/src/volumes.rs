//! Writes of guests to their volumes, charged before they happen.
//!
//! WASI's own functions write to a volume without a check. This module replaces those that make files longer, or create
//! files and folders: each computes the growth, charges it to the [`VolumeMeter`], and then calls WASI's function. It
//! also replaces the functions that open files, since guests may hold only a limited number, and those that list
//! folders. A refused write fails in the guest with `quota`, or with `insufficient-space` if the disk is full or the
//! write goes through a stream.

mod preview1;

use crate::{listing::Listing, open_files::OpenFiles, state::State};
pub(crate) use preview1::link as link_p1;

use bytes::Bytes;
use fabric_types::id::TenantId;
use std::{any::Any, os::unix::fs::MetadataExt as _, path::PathBuf, sync::Arc};
use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource, ResourceType},
};
use wasmtime_wasi::{
    async_trait,
    filesystem::{Descriptor, WasiFilesystemView as _},
    p2::{
        DynOutputStream, FsResult, OutputStream, Pollable, StreamError, StreamResult,
        bindings::filesystem::types::{DescriptorFlags, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags},
    },
};

/// Interface whose functions are replaced, with the version that WASI's own linking uses.
const FILESYSTEM: &str = "wasi:filesystem/types@0.2.12";
/// Error for too many open files. The component interface has no specific code.
const TOO_MANY_FILES: ErrorCode = ErrorCode::InsufficientMemory;

/// The reason a volume refuses a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeRefusal {
    /// The tenant has reached its quota.
    OverQuota,
    /// The disk is full.
    DiskFull,
}

/// A meter for the bytes that guests write to volumes.
pub trait VolumeMeter: Send + Sync + 'static {
    /// Records the start of a call that can write.
    fn opened(&self, tenant: &TenantId);

    /// Reserves bytes before they are written.
    ///
    /// # Errors
    /// The reason there is no room.
    fn charge(&self, tenant: &TenantId, bytes: u64) -> Result<VolumeCharge, VolumeRefusal>;

    /// Records the end of a call that could write. The tenant's volumes may contain more or fewer bytes than were
    /// charged.
    fn changed(&self, tenant: &TenantId);

    /// Returns the bytes that a file or folder takes in addition to its contents.
    fn entry_bytes(&self) -> u64;
}

/// The charge for a write in progress. The bytes count as written when it is dropped.
pub struct VolumeCharge(#[allow(dead_code, reason = "held for its drop")] Option<Box<dyn Any + Send + Sync>>);

impl VolumeCharge {
    /// Creates a charge that ends when `held` is dropped.
    #[must_use]
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(held)))
    }

    /// Returns an empty charge.
    const fn none() -> Self {
        Self(None)
    }
}

/// The folder of all volumes, its meter, and the limits on open files.
pub(crate) struct VolumeRoot {
    pub(crate) folder: PathBuf,
    pub(crate) meter: Option<Arc<dyn VolumeMeter>>,
    pub(crate) files: Arc<OpenFiles>,
}

/// The meter of a call with a writable volume.
pub(crate) struct MeteredVolumes {
    meter: Arc<dyn VolumeMeter>,
    tenant: TenantId,
}

impl MeteredVolumes {
    pub(crate) fn new(meter: Arc<dyn VolumeMeter>, tenant: TenantId) -> Arc<Self> {
        meter.opened(&tenant);
        Arc::new(Self { meter, tenant })
    }

    fn charge(&self, bytes: u64) -> Result<VolumeCharge, VolumeRefusal> {
        if bytes == 0 { Ok(VolumeCharge::none()) } else { self.meter.charge(&self.tenant, bytes) }
    }

    fn charge_entry(&self) -> Result<VolumeCharge, VolumeRefusal> {
        self.charge(self.meter.entry_bytes())
    }
}

impl Drop for MeteredVolumes {
    fn drop(&mut self) {
        self.meter.changed(&self.tenant);
    }
}

impl From<VolumeRefusal> for ErrorCode {
    fn from(refusal: VolumeRefusal) -> Self {
        match refusal {
            VolumeRefusal::OverQuota => Self::Quota,
            VolumeRefusal::DiskFull => Self::InsufficientSpace,
        }
    }
}

impl From<VolumeRefusal> for std::io::Error {
    fn from(_refusal: VolumeRefusal) -> Self {
        // WASI converts this number to the guest's error code. It has no code for `dquot`, so an exhausted quota is
        // `nospc` too.
        Self::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())
    }
}

/// Converts a result to the return value of a component function.
fn answer<T>(result: FsResult<T>) -> wasmtime::Result<(Result<T, ErrorCode>,)> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

impl State {
    /// Returns the size of an open file, in bytes; 0 for a folder.
    fn file_size(&self, fd: &Resource<Descriptor>) -> FsResult<u64> {
        match self.table.get(fd)? {
            Descriptor::File(file) => Ok(file.file.metadata().map_err(|error| ErrorCode::from(&error))?.size()),
            Descriptor::Dir(_) => Ok(0),
        }
    }

    /// Charges the growth of a file that is extended to `end`.
    fn charge_growth(&self, fd: &Resource<Descriptor>, end: u64) -> FsResult<VolumeCharge> {
        let Some(metered) = self.metered() else { return Ok(VolumeCharge::none()) };
        let growth = end.saturating_sub(self.file_size(fd)?);
        Ok(metered.charge(growth).map_err(ErrorCode::from)?)
    }

    fn charge_entry(&self) -> FsResult<VolumeCharge> {
        let Some(metered) = self.metered() else { return Ok(VolumeCharge::none()) };
        Ok(metered.charge_entry().map_err(ErrorCode::from)?)
    }

    /// Opens a listing of a folder.
    fn list(&mut self, fd: &Resource<Descriptor>) -> FsResult<Resource<Listing>> {
        let listing = match self.table.get(fd)? {
            Descriptor::Dir(folder) => Listing::open(&folder.dir)?,
            Descriptor::File(_) => return Err(ErrorCode::NotDirectory.into()),
        };
        Ok(self.table.push(listing)?)
    }

    /// Adds the meter to a stream that writes to a file.
    fn meter_stream(
        &mut self,
        stream: Resource<DynOutputStream>,
        file: Option<Arc<std::fs::File>>,
        at: Option<u64>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let (Some(metered), Some(file)) = (self.metered().cloned(), file) else { return Ok(stream) };
        let inner = self.table.delete(stream)?;
        let metered: DynOutputStream =
            Box::new(MeteredStream { inner, metered, file, at, charge: VolumeCharge::none() });
        Ok(self.table.push(metered)?)
    }

    fn open_file(&self, fd: &Resource<Descriptor>) -> FsResult<Option<Arc<std::fs::File>>> {
        Ok(match self.table.get(fd)? {
            Descriptor::File(file) => Some(Arc::clone(&file.file)),
            Descriptor::Dir(_) => None,
        })
    }
}

/// A stream that charges the growth of its file.
struct MeteredStream {
    inner: DynOutputStream,
    metered: Arc<MeteredVolumes>,
    file: Arc<std::fs::File>,
    /// Offset of the next byte. `None` for the end of the file.
    at: Option<u64>,
    /// Charge for the write that may still be in progress. A stream performs one write at a time.
    charge: VolumeCharge,
}

impl MeteredStream {
    fn charge(&mut self, len: usize) -> StreamResult<()> {
        let failed = |error: std::io::Error| StreamError::LastOperationFailed(error.into());
        let len = len as u64;
        let growth = match &mut self.at {
            None => len,
            Some(at) => {
                let end = at.saturating_add(len);
                *at = end;
                end.saturating_sub(self.file.metadata().map_err(failed)?.size())
            }
        };
        self.charge = self.metered.charge(growth).map_err(|refusal| failed(refusal.into()))?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for MeteredStream {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[async_trait]
impl OutputStream for MeteredStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.charge(bytes.len())?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.charge(bytes.len())?;
        self.inner.blocking_write_and_flush(bytes).await
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

type Call<'a> = StoreContextMut<'a, State>;

/// Replaces WASI's functions that write, open and list, for components. The linker must allow shadowing.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut fs = linker.instance(FILESYSTEM)?;
    fs.func_wrap_async(
        "[method]descriptor.write",
        |mut store: Call<'_>, (fd, bytes, offset): (Resource<Descriptor>, Vec<u8>, u64)| {
            Box::new(async move {
                let state = store.data_mut();
                let _charge = match state.charge_growth(&fd, offset.saturating_add(bytes.len() as u64)) {
                    Ok(charge) => charge,
                    Err(refused) => return answer(Err(refused)),
                };
                answer(state.filesystem().write(fd, bytes, offset).await)
            })
        },
    )?;
    fs.func_wrap_async(
        "[method]descriptor.set-size",
        |mut store: Call<'_>, (fd, size): (Resource<Descriptor>, u64)| {
            Box::new(async move {
                let state = store.data_mut();
                let _charge = match state.charge_growth(&fd, size) {
                    Ok(charge) => charge,
                    Err(refused) => return answer(Err(refused)),
                };
                answer(state.filesystem().set_size(fd, size).await)
            })
        },
    )?;
    fs.func_wrap(
        "[method]descriptor.write-via-stream",
        |mut store: Call<'_>, (fd, offset): (Resource<Descriptor>, u64)| {
            let state = store.data_mut();
            let made = state.open_file(&fd).and_then(|file| {
                let stream = state.filesystem().write_via_stream(fd, offset)?;
                state.meter_stream(stream, file, Some(offset))
            });
            answer(made)
        },
    )?;
    fs.resource("directory-entry-stream", ResourceType::host::<Listing>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<Listing>::new_own(rep))?;
        Ok(())
    })?;
    fs.func_wrap("[method]descriptor.read-directory", |mut store: Call<'_>, (fd,): (Resource<Descriptor>,)| {
        let state = store.data_mut();
        let listed = if state.files.try_open() { state.list(&fd) } else { Err(TOO_MANY_FILES.into()) };
        answer(listed)
    })?;
    fs.func_wrap(
        "[method]directory-entry-stream.read-directory-entry",
        |mut store: Call<'_>, (listing,): (Resource<Listing>,)| Ok((store.data_mut().table.get_mut(&listing)?.next(),)),
    )?;
    fs.func_wrap("[method]descriptor.append-via-stream", |mut store: Call<'_>, (fd,): (Resource<Descriptor>,)| {
        let state = store.data_mut();
        let made = state.open_file(&fd).and_then(|file| {
            let stream = state.filesystem().append_via_stream(fd)?;
            state.meter_stream(stream, file, None)
        });
        answer(made)
    })?;
    fs.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: Call<'_>,
         (fd, path_flags, path, open_flags, flags): (
            Resource<Descriptor>,
            PathFlags,
            String,
            OpenFlags,
            DescriptorFlags,
        )| {
            Box::new(async move {
                let state = store.data_mut();
                if !state.files.try_open() {
                    return answer(Err(TOO_MANY_FILES.into()));
                }
                let mut charge = Ok(VolumeCharge::none());
                if open_flags.contains(OpenFlags::CREATE) && state.metered().is_some() {
                    let folder = Resource::new_borrow(fd.rep());
                    let there = state.filesystem().stat_at(folder, path_flags, path.clone()).await.is_ok();
                    if !there {
                        charge = state.charge_entry();
                    }
                }
                let _charge = match charge {
                    Ok(charge) => charge,
                    Err(refused) => return answer(Err(refused)),
                };
                answer(state.filesystem().open_at(fd, path_flags, path, open_flags, flags).await)
            })
        },
    )?;
    fs.func_wrap_async(
        "[method]descriptor.create-directory-at",
        |mut store: Call<'_>, (fd, path): (Resource<Descriptor>, String)| {
            Box::new(async move {
                let state = store.data_mut();
                let _charge = match state.charge_entry() {
                    Ok(charge) => charge,
                    Err(refused) => return answer(Err(refused)),
                };
                answer(state.filesystem().create_directory_at(fd, path).await)
            })
        },
    )?;
    fs.func_wrap_async(
        "[method]descriptor.symlink-at",
        |mut store: Call<'_>, (fd, from, to): (Resource<Descriptor>, String, String)| {
            Box::new(async move {
                let state = store.data_mut();
                let _charge = match state.charge_entry() {
                    Ok(charge) => charge,
                    Err(refused) => return answer(Err(refused)),
                };
                answer(state.filesystem().symlink_at(fd, from, to).await)
            })
        },
    )?;
    fs.func_wrap_async(
        "[method]descriptor.link-at",
        |mut store: Call<'_>,
         (fd, path_flags, from, folder, to): (
            Resource<Descriptor>,
            PathFlags,
            String,
            Resource<Descriptor>,
            String,
        )| {
            Box::new(async move {
                let state = store.data_mut();
                let _charge = match state.charge_entry() {
                    Ok(charge) => charge,
                    Err(refused) => return answer(Err(refused)),
                };
                answer(state.filesystem().link_at(fd, path_flags, from, folder, to).await)
            })
        },
    )
}
