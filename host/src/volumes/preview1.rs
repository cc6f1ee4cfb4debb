//! Writes of preview 1 modules to their volumes, charged before they happen. See [`super`].

use super::{VolumeCharge, VolumeRefusal};
use crate::state::State;
use std::sync::Arc;
use wasmtime::Extern;
use wasmtime_wasi::p1::{
    WasiP1Ctx,
    wasi_snapshot_preview1::{self as p1, WasiSnapshotPreview1 as _},
};
use wiggle::{GuestMemory, GuestPtr};

const PREVIEW1: &str = "wasi_snapshot_preview1";
/// Error codes `dquot` and `nospc` of preview 1.
const QUOTA: i32 = 19;
const NO_SPACE: i32 = 51;
/// Error codes `mfile` and `nomem` of preview 1.
const TOO_MANY_FILES: i32 = 33;
const NO_MEMORY: i32 = 48;
/// Bytes of memory for a folder's listing, per byte of the folder's own size.
const LISTED: u64 = 8;
/// Error code `fault` of preview 1: an argument lies outside memory.
const FAULT: i32 = 21;

const fn errno(refusal: VolumeRefusal) -> i32 {
    match refusal {
        VolumeRefusal::OverQuota => QUOTA,
        VolumeRefusal::DiskFull => NO_SPACE,
    }
}

/// Returns the total length of the buffers in a list, in bytes. Returns `None` if the list lies outside memory.
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

/// Returns the growth of a file by a write of `len` bytes, at an offset or at the descriptor's position.
async fn growth_of(
    ctx: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    len: u64,
    offset: Option<u64>,
) -> Option<u64> {
    use wasmtime_wasi::p1::types::{Fd, Fdflags, Filetype};
    let fd = || Fd::from(fd);
    // If the file can't be examined, the write fails too and reports the error.
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

/// Returns the memory needed to read a folder, estimated from its size in the file system: preview 1 reads the whole
/// folder at once.
async fn listing_bytes(ctx: &mut WasiP1Ctx, memory: &mut GuestMemory<'_>, fd: i32) -> u64 {
    let stat = ctx.fd_filestat_get(memory, wasmtime_wasi::p1::types::Fd::from(fd)).await;
    stat.map_or(0, |stat| stat.size.saturating_mul(LISTED))
}

/// Returns `true` if the path exists.
async fn is_there(ctx: &mut WasiP1Ctx, memory: &mut GuestMemory<'_>, fd: i32, look: i32, path: i32, len: i32) -> bool {
    use wasmtime_wasi::p1::types::{Fd, Lookupflags};
    let Ok(look) = Lookupflags::try_from(look.cast_unsigned()) else { return false };
    let path = GuestPtr::<str>::new((path.cast_unsigned(), len.cast_unsigned()));
    ctx.path_filestat_get(memory, Fd::from(fd), look, path).await.is_ok()
}

/// Borrows the caller's memory and state, as WASI's own linking does.
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

/// Replaces WASI's functions that write, open and list, for preview 1. The linker must allow shadowing.
pub(crate) fn link(linker: &mut wasmtime::Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        PREVIEW1,
        "fd_write",
        |mut caller: wasmtime::Caller<'_, State>, (fd, list, count, written): (i32, i32, i32, i32)| {
            Box::new(async move {
                with_memory!(caller, memory, state);
                let mut charge = Ok(VolumeCharge::none());
                if let Some(metered) = state.metered().cloned() {
                    let Some(len) = listed(&memory, list, count) else { return Ok(FAULT) };
                    let growth = growth_of(state.p1(), &mut memory, fd, len, None).await;
                    charge = metered.charge(growth.unwrap_or(0));
                }
                let _charge = match charge {
                    Ok(charge) => charge,
                    Err(refusal) => return Ok(errno(refusal)),
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
                    let Some(len) = listed(&memory, list, count) else { return Ok(FAULT) };
                    let at = Some(offset.cast_unsigned());
                    let growth = growth_of(state.p1(), &mut memory, fd, len, at).await;
                    charge = metered.charge(growth.unwrap_or(0));
                }
                let _charge = match charge {
                    Ok(charge) => charge,
                    Err(refusal) => return Ok(errno(refusal)),
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
                    let growth = growth_of(state.p1(), &mut memory, fd, 0, Some(size.cast_unsigned())).await;
                    charge = metered.charge(growth.unwrap_or(0));
                }
                let _charge = match charge {
                    Ok(charge) => charge,
                    Err(refusal) => return Ok(errno(refusal)),
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
                    return Ok(TOO_MANY_FILES);
                }
                let mut charge = Ok(VolumeCharge::none());
                // The `creat` flag.
                if open & 1 != 0
                    && let Some(metered) = state.metered().cloned()
                    && !is_there(state.p1(), &mut memory, fd, look, path, len).await
                {
                    charge = metered.charge_entry();
                }
                let _charge = match charge {
                    Ok(charge) => charge,
                    Err(refusal) => return Ok(errno(refusal)),
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
                let bytes = listing_bytes(state.p1(), &mut memory, fd).await;
                let shared = Arc::clone(&state.shared);
                if shared.memory.grow(bytes).is_err() {
                    return Ok(NO_MEMORY);
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
                    Err(refusal) => return Ok(errno(refusal)),
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
                    Err(refusal) => return Ok(errno(refusal)),
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
                    Err(refusal) => return Ok(errno(refusal)),
                };
                p1::path_link(state.p1(), &mut memory, fd, flags, from, from_len, to_fd, to, to_len).await
            })
        },
    )?;
    Ok(())
}
