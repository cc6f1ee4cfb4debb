//! Writes of guests to their volumes, charged before they happen.
//!
//! WASI's own functions write to a volume without asking. Those that make files longer, or make files and folders, are
//! linked again over them here: each works out what it would add, asks the [`VolumeMeter`], and then does what WASI's
//! function does. So are those that open files, of which guests hold only so many, and those that list folders. A refused write fails for the guest with `quota`, or with `insufficient-space` where the disk is full or a
//! stream was written to.

use crate::{listing::Listing, open_files::OpenFiles, state::State};
use bytes::Bytes;
use fabric_types::id::TenantId;
use std::{any::Any, os::unix::fs::MetadataExt as _, path::PathBuf, sync::Arc};
use wasmtime::{
    Extern, StoreContextMut,
    component::{Linker, Resource, ResourceType},
};
use wasmtime_wasi::{
    async_trait,
    filesystem::{Descriptor, WasiFilesystemView as _},
    p1::{
        WasiP1Ctx,
        wasi_snapshot_preview1::{self as p1, WasiSnapshotPreview1 as _},
    },
    p2::{
        DynOutputStream, FsResult, OutputStream, Pollable, StreamError, StreamResult,
        bindings::filesystem::types::{DescriptorFlags, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags},
    },
};
use wiggle::{GuestMemory, GuestPtr};

/// The interface whose functions are replaced, as WASI's own linking names it.
const FILESYSTEM: &str = "wasi:filesystem/types@0.2.12";
const PREVIEW1: &str = "wasi_snapshot_preview1";
/// `dquot` and `nospc` of preview 1.
const P1_QUOTA: i32 = 19;
const P1_NO_SPACE: i32 = 51;
/// `mfile` and `nomem` of preview 1.
const P1_TOO_MANY_FILES: i32 = 33;
const P1_NO_MEMORY: i32 = 48;
/// Bytes of memory for each byte of a folder's own size that its listing takes.
const LISTED: u64 = 8;
/// Components have no code for too many open files.
const TOO_MANY_FILES: ErrorCode = ErrorCode::InsufficientMemory;
/// `fault` of preview 1: an argument lies outside memory.
const P1_FAULT: i32 = 21;

/// Why a volume takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeRefusal {
    /// The tenant keeps as much as it may.
    OverQuota,
    /// The disk has no room.
    DiskFull,
}

/// Charges what guests write to volumes.
pub trait VolumeMeter: Send + Sync + 'static {
    /// A call begins that could write.
    fn opened(&self, tenant: &TenantId);

    /// Sets bytes aside before they are written.
    ///
    /// # Errors
    /// Why there is no room.
    fn charge(&self, tenant: &TenantId, bytes: u64) -> Result<VolumeCharge, VolumeRefusal>;

    /// A call that could write has ended: what the tenant's volumes hold may be more or less than was charged.
    fn changed(&self, tenant: &TenantId);

    /// What a file or folder takes beside its bytes.
    fn entry_bytes(&self) -> u64;
}

/// Bytes of a write that is under way. They count as written when this is dropped.
pub struct VolumeCharge(#[allow(dead_code, reason = "held for its drop")] Option<Box<dyn Any + Send + Sync>>);

impl VolumeCharge {
    /// The charge that `held` ends when it is dropped.
    #[must_use]
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(held)))
    }

    /// Nothing.
    const fn none() -> Self {
        Self(None)
    }
}

/// Where volumes are, and who charges for them.
pub(crate) struct VolumeRoot {
    pub(crate) folder: PathBuf,
    pub(crate) meter: Option<Arc<dyn VolumeMeter>>,
    pub(crate) files: Arc<OpenFiles>,
}

/// The meter of one call with a writable volume.
pub(crate) struct Metered {
    meter: Arc<dyn VolumeMeter>,
    tenant: TenantId,
}

impl Metered {
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

impl Drop for Metered {
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
        // From its number WASI makes the code that the guest asks for; it has none there for `dquot`.
        Self::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())
    }
}

const fn p1_errno(refusal: VolumeRefusal) -> i32 {
    match refusal {
        VolumeRefusal::OverQuota => P1_QUOTA,
        VolumeRefusal::DiskFull => P1_NO_SPACE,
    }
}

/// A component function's answer.
fn answer<T>(result: FsResult<T>) -> wasmtime::Result<(Result<T, ErrorCode>,)> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

impl State {
    /// Bytes of an open file.
    fn file_size(&self, fd: &Resource<Descriptor>) -> FsResult<u64> {
        match self.table.get(fd)? {
            Descriptor::File(file) => Ok(file.file.metadata().map_err(|error| ErrorCode::from(&error))?.size()),
            Descriptor::Dir(_) => Ok(0),
        }
    }

    /// Charges the growth of a file that will reach to `end`.
    fn charge_growth(&self, fd: &Resource<Descriptor>, end: u64) -> FsResult<VolumeCharge> {
        let Some(metered) = self.metered() else { return Ok(VolumeCharge::none()) };
        let growth = end.saturating_sub(self.file_size(fd)?);
        Ok(metered.charge(growth).map_err(ErrorCode::from)?)
    }

    fn charge_entry(&self) -> FsResult<VolumeCharge> {
        let Some(metered) = self.metered() else { return Ok(VolumeCharge::none()) };
        Ok(metered.charge_entry().map_err(ErrorCode::from)?)
    }

    /// Lists a folder.
    fn list(&mut self, fd: &Resource<Descriptor>) -> FsResult<Resource<Listing>> {
        let listing = match self.table.get(fd)? {
            Descriptor::Dir(folder) => Listing::open(&folder.dir)?,
            Descriptor::File(_) => return Err(ErrorCode::NotDirectory.into()),
        };
        Ok(self.table.push(listing)?)
    }

    /// Puts the meter before a stream that writes to a file.
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

/// A stream that charges what it makes its file longer by.
struct MeteredStream {
    inner: DynOutputStream,
    metered: Arc<Metered>,
    file: Arc<std::fs::File>,
    /// Where the next byte goes; none for the end of the file.
    at: Option<u64>,
    /// Of the write that may still be under way: a stream writes one after another.
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

/// Links the functions of components that write over WASI's own. The linker must allow that.
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

/// Bytes that a list of parts names, at most; none where it lies outside memory.
fn listed(memory: &GuestMemory<'_>, list: i32, count: i32) -> Option<u64> {
    let (GuestMemory::Unshared(bytes), list, count) = (memory, list.cast_unsigned() as usize, count.cast_unsigned())
    else {
        return None;
    };
    let mut sum = 0u64;
    for part in 0..count as usize {
        let at = list.checked_add(part.checked_mul(8)?)?.checked_add(4)?;
        let len = bytes.get(at..at.checked_add(4)?)?;
        sum = sum.saturating_add(u64::from(u32::from_le_bytes(len.try_into().ok()?)));
    }
    Some(sum)
}

/// The growth of a file by a write of `len` bytes: at an offset, or where the descriptor stands.
async fn p1_growth(
    ctx: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    len: u64,
    offset: Option<u64>,
) -> Option<u64> {
    use wasmtime_wasi::p1::types::{Fd, Fdflags, Filetype};
    let fd = || Fd::from(fd);
    // What can't be looked at can't be written to either; the write says why.
    let stat = ctx.fd_filestat_get(memory, fd()).await.ok()?;
    if stat.filetype != Filetype::RegularFile {
        return None;
    }
    let flags = ctx.fd_fdstat_get(memory, fd()).await.ok()?.fs_flags;
    if flags.contains(Fdflags::APPEND) {
        return Some(len);
    }
    let at = match offset {
        Some(offset) => offset,
        None => ctx.fd_tell(memory, fd()).ok()?,
    };
    Some(at.saturating_add(len).saturating_sub(stat.size))
}

/// Memory that reading a folder takes for a moment, from its size in the file system: preview 1 lists it whole.
async fn p1_listing_bytes(ctx: &mut WasiP1Ctx, memory: &mut GuestMemory<'_>, fd: i32) -> u64 {
    let stat = ctx.fd_filestat_get(memory, wasmtime_wasi::p1::types::Fd::from(fd)).await;
    stat.map_or(0, |stat| stat.size.saturating_mul(LISTED))
}

/// Whether there is something at a path.
async fn p1_is_there(
    ctx: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    look: i32,
    path: i32,
    len: i32,
) -> bool {
    use wasmtime_wasi::p1::types::{Fd, Lookupflags};
    let Ok(look) = Lookupflags::try_from(look.cast_unsigned()) else { return false };
    let path = GuestPtr::<str>::new((path.cast_unsigned(), len.cast_unsigned()));
    ctx.path_filestat_get(memory, Fd::from(fd), look, path).await.is_ok()
}

/// Gives a function the caller's memory and state, as WASI's own linking does.
macro_rules! with_memory {
    ($caller:ident, $memory:ident, $state:ident) => {
        let Some(Extern::Memory(exported)) = $caller.get_export("memory") else {
            return Err(wasmtime::format_err!("missing required memory export"));
        };
        let fuel = wasmtime::AsContextMut::as_context_mut(&mut $caller).hostcall_fuel();
        let (bytes, $state) = exported.data_and_store_mut(&mut $caller);
        $state.p1().set_hostcall_fuel(fuel);
        let mut $memory = GuestMemory::Unshared(bytes);
    };
}

/// Links the functions of preview 1 that write over WASI's own. The linker must allow that.
pub(crate) fn link_p1(linker: &mut wasmtime::Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        PREVIEW1,
        "fd_write",
        |mut caller: wasmtime::Caller<'_, State>, (fd, list, count, written): (i32, i32, i32, i32)| {
            Box::new(async move {
                with_memory!(caller, memory, state);
                let mut charge = Ok(VolumeCharge::none());
                if let Some(metered) = state.metered().cloned() {
                    let Some(len) = listed(&memory, list, count) else { return Ok(P1_FAULT) };
                    let growth = p1_growth(state.p1(), &mut memory, fd, len, None).await;
                    charge = metered.charge(growth.unwrap_or(0));
                }
                let _charge = match charge {
                    Ok(charge) => charge,
                    Err(refusal) => return Ok(p1_errno(refusal)),
                };
                p1::fd_write(state.p1(), &mut memory, fd, list, count, written).await
            })
        },
    )?;
    linker.func_wrap_async(
        PREVIEW1,
        "fd_pwrite",
        |mut caller: wasmtime::Caller<'_, State>, (fd, list, count, offset, written): (i32, i32, i32, i64, i32)| {
            Box::new(async move {
                with_memory!(caller, memory, state);
                let mut charge = Ok(VolumeCharge::none());
                if let Some(metered) = state.metered().cloned() {
                    let Some(len) = listed(&memory, list, count) else { return Ok(P1_FAULT) };
                    let at = Some(offset.cast_unsigned());
                    let growth = p1_growth(state.p1(), &mut memory, fd, len, at).await;
                    charge = metered.charge(growth.unwrap_or(0));
                }
                let _charge = match charge {
                    Ok(charge) => charge,
                    Err(refusal) => return Ok(p1_errno(refusal)),
                };
                p1::fd_pwrite(state.p1(), &mut memory, fd, list, count, offset, written).await
            })
        },
    )?;
    linker.func_wrap_async(
        PREVIEW1,
        "fd_filestat_set_size",
        |mut caller: wasmtime::Caller<'_, State>, (fd, size): (i32, i64)| {
            Box::new(async move {
                with_memory!(caller, memory, state);
                let mut charge = Ok(VolumeCharge::none());
                if let Some(metered) = state.metered().cloned() {
                    let growth = p1_growth(state.p1(), &mut memory, fd, 0, Some(size.cast_unsigned())).await;
                    charge = metered.charge(growth.unwrap_or(0));
                }
                let _charge = match charge {
                    Ok(charge) => charge,
                    Err(refusal) => return Ok(p1_errno(refusal)),
                };
                p1::fd_filestat_set_size(state.p1(), &mut memory, fd, size).await
            })
        },
    )?;
    linker.func_wrap_async(
        PREVIEW1,
        "path_open",
        |mut caller: wasmtime::Caller<'_, State>,
         (fd, look, path, len, open, rights, inheriting, flags, opened): (
            i32,
            i32,
            i32,
            i32,
            i32,
            i64,
            i64,
            i32,
            i32,
        )| {
            Box::new(async move {
                with_memory!(caller, memory, state);
                if !state.files.try_open() {
                    return Ok(P1_TOO_MANY_FILES);
                }
                let mut charge = Ok(VolumeCharge::none());
                // `creat`.
                if open & 1 != 0
                    && let Some(metered) = state.metered().cloned()
                    && !p1_is_there(state.p1(), &mut memory, fd, look, path, len).await
                {
                    charge = metered.charge_entry();
                }
                let _charge = match charge {
                    Ok(charge) => charge,
                    Err(refusal) => return Ok(p1_errno(refusal)),
                };
                let ctx = state.p1();
                p1::path_open(ctx, &mut memory, fd, look, path, len, open, rights, inheriting, flags, opened).await
            })
        },
    )?;
    linker.func_wrap_async(
        PREVIEW1,
        "fd_readdir",
        |mut caller: wasmtime::Caller<'_, State>, (fd, to, len, cookie, used): (i32, i32, i32, i64, i32)| {
            Box::new(async move {
                with_memory!(caller, memory, state);
                let bytes = p1_listing_bytes(state.p1(), &mut memory, fd).await;
                let shared = Arc::clone(&state.shared);
                if shared.memory.grow(bytes).is_err() {
                    return Ok(P1_NO_MEMORY);
                }
                let read = p1::fd_readdir(state.p1(), &mut memory, fd, to, len, cookie, used).await;
                shared.memory.shrink(bytes);
                read
            })
        },
    )?;
    linker.func_wrap_async(
        PREVIEW1,
        "path_create_directory",
        |mut caller: wasmtime::Caller<'_, State>, (fd, path, len): (i32, i32, i32)| {
            Box::new(async move {
                with_memory!(caller, memory, state);
                let _charge = match state.metered().map_or(Ok(VolumeCharge::none()), |metered| metered.charge_entry()) {
                    Ok(charge) => charge,
                    Err(refusal) => return Ok(p1_errno(refusal)),
                };
                p1::path_create_directory(state.p1(), &mut memory, fd, path, len).await
            })
        },
    )?;
    linker.func_wrap_async(
        PREVIEW1,
        "path_symlink",
        |mut caller: wasmtime::Caller<'_, State>, (from, from_len, fd, to, to_len): (i32, i32, i32, i32, i32)| {
            Box::new(async move {
                with_memory!(caller, memory, state);
                let _charge = match state.metered().map_or(Ok(VolumeCharge::none()), |metered| metered.charge_entry()) {
                    Ok(charge) => charge,
                    Err(refusal) => return Ok(p1_errno(refusal)),
                };
                p1::path_symlink(state.p1(), &mut memory, from, from_len, fd, to, to_len).await
            })
        },
    )?;
    linker.func_wrap_async(
        PREVIEW1,
        "path_link",
        |mut caller: wasmtime::Caller<'_, State>,
         (fd, flags, from, from_len, to_fd, to, to_len): (i32, i32, i32, i32, i32, i32, i32)| {
            Box::new(async move {
                with_memory!(caller, memory, state);
                let _charge = match state.metered().map_or(Ok(VolumeCharge::none()), |metered| metered.charge_entry()) {
                    Ok(charge) => charge,
                    Err(refusal) => return Ok(p1_errno(refusal)),
                };
                p1::path_link(state.p1(), &mut memory, fd, flags, from, from_len, to_fd, to, to_len).await
            })
        },
    )?;
    Ok(())
}
