//! What a worker may not do, bound by itself before it sees a guest's byte.

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit},
    thread::set_no_new_privs,
    time::{ClockId, clock_gettime},
};
use std::{fs, io, os::unix::net::UnixStream, sync::LazyLock, thread};

/// Open files at once. A Vulkan driver needs some tens.
const MAX_FILES: u64 = 512;

/// What a software driver may map beyond the tenants' memory: its compiler, its code and its own copies, in bytes.
const DRIVER_BYTES: u64 = 2 << 30;

/// CPU time beyond a submit's deadline on every core, in seconds.
const CPU_GRACE_SECONDS: u64 = 1;

/// Cores of this process. Finding out reads a dozen files of the system, so it is not done for every submit.
static CORES: LazyLock<u64> = LazyLock::new(|| thread::available_parallelism().map_or(1, |n| n.get() as u64));

fn both(n: u64) -> Rlimit {
    Rlimit { current: Some(n), maximum: Some(n) }
}

/// For both kinds of worker: no new privileges, no core files, no inherited descriptors.
pub(super) fn confine() -> io::Result<()> {
    set_no_new_privs(true)?;
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Nofile, both(MAX_FILES))?;
    close_inherited()
}

/// Closes what is open beyond the standard streams. The list's own descriptor is closed already when its turn comes.
fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

/// For a checker: memory, CPU time, and no file of its own.
pub(super) fn for_checking(memory_bytes: u64, cpu_seconds: u64) -> io::Result<()> {
    setrlimit(Resource::As, both(mapped_bytes()?.saturating_add(memory_bytes)))?;
    // Not both the same: the first is XCPU, by which the node knows that it was the limit.
    let more = Some(cpu_seconds.saturating_add(1));
    setrlimit(Resource::Cpu, Rlimit { current: Some(cpu_seconds), maximum: more })?;
    setrlimit(Resource::Fsize, both(0))?;
    Ok(())
}

/// For a device on the processor, once it is open: memory, and no file of its own. Drivers of hardware map more address
/// space than they use and write files for it, so these limits are not for them.
pub(super) fn for_software(memory_bytes: u64) -> io::Result<()> {
    let most = mapped_bytes()?.saturating_add(memory_bytes).saturating_add(DRIVER_BYTES);
    setrlimit(Resource::As, both(most))?;
    setrlimit(Resource::Fsize, both(0))?;
    Ok(())
}

/// Before a submit to a device on the processor: the CPU time that all cores could spend until its deadline. It is a
/// second line: the node's deadline comes first, unless the node hangs.
pub(super) fn allow_cpu(deadline_ms: u64) -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec.unsigned_abs();
    let more = deadline_ms.div_ceil(1000).saturating_add(CPU_GRACE_SECONDS).saturating_mul(*CORES);
    setrlimit(Resource::Cpu, Rlimit { current: Some(used.saturating_add(more)), maximum: None })?;
    Ok(())
}

/// Ends this process at once when the node closes its side, whatever the device is doing.
pub(super) fn end_with(socket: UnixStream) -> io::Result<()> {
    let watch = move || {
        // Only the end of the other side is asked for, not what it sends.
        let mut fds = [PollFd::new(&socket, PollFlags::RDHUP)];
        while !matches!(poll(&mut fds, None), Ok(n) if n > 0) {}
        let _ = kill_process(getpid(), Signal::KILL);
    };
    thread::Builder::new().name("hangup".into()).stack_size(64 << 10).spawn(watch).map(|_| ())
}

/// The address space in use: the first number of `statm`, in pages.
fn mapped_bytes() -> io::Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| io::Error::other("/proc/self/statm makes no sense"))?;
    Ok(pages.saturating_mul(rustix::param::page_size() as u64))
}
