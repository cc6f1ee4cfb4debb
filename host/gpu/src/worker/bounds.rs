//! Resource limits that a worker sets for itself before it receives data from a guest.

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit},
    thread::set_no_new_privs,
    time::{ClockId, clock_gettime},
};
use std::{fs, io, os::unix::net::UnixStream, sync::LazyLock, thread};

/// Limit of open files. A Vulkan driver needs several tens.
const MAX_FILES: u64 = 512;

/// Address space for a software driver in addition to the tenants' memory, in bytes: its compiler, its code and its
/// copies.
const DRIVER_BYTES: u64 = 2 << 30;

/// Extra CPU time per core after a submit's deadline, in seconds.
const CPU_GRACE_SECONDS: u64 = 1;

/// Number of cores of this process. Cached, because the query reads a dozen system files.
static CORES: LazyLock<u64> = LazyLock::new(|| thread::available_parallelism().map_or(1, |n| n.get() as u64));

fn both(n: u64) -> Rlimit {
    Rlimit { current: Some(n), maximum: Some(n) }
}

/// Applies the limits of both kinds of worker: no new privileges, no core files, no inherited descriptors.
pub(super) fn confine() -> io::Result<()> {
    set_no_new_privs(true)?;
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Nofile, both(MAX_FILES))?;
    close_inherited()
}

/// Closes all descriptors except the standard streams. The list includes the directory's own descriptor, which is
/// already closed here.
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

/// Applies the limits of a checker: memory, CPU time, and no file writes.
pub(super) fn for_checking(memory_bytes: u64, cpu_seconds: u64) -> io::Result<()> {
    setrlimit(Resource::As, both(mapped_bytes()?.saturating_add(memory_bytes)))?;
    // The soft limit is lower than the hard limit, so that the process ends by `SIGXCPU`, which the node maps to this
    // limit.
    let more = Some(cpu_seconds.saturating_add(1));
    setrlimit(Resource::Cpu, Rlimit { current: Some(cpu_seconds), maximum: more })?;
    setrlimit(Resource::Fsize, both(0))?;
    Ok(())
}

/// Applies the limits of a software device after it is open: memory, and no file writes. Hardware drivers map more
/// address space than they use, and write files, so these limits do not apply to them.
pub(super) fn for_software(memory_bytes: u64) -> io::Result<()> {
    let most = mapped_bytes()?.saturating_add(memory_bytes).saturating_add(DRIVER_BYTES);
    setrlimit(Resource::As, both(most))?;
    setrlimit(Resource::Fsize, both(0))?;
    Ok(())
}

/// Sets the CPU time limit for a submit to a software device: the time that all cores can spend until its deadline.
/// This is a second line of defence: the node's deadline expires first, unless the node hangs.
pub(super) fn allow_cpu(deadline_ms: u64) -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec.unsigned_abs();
    let more = deadline_ms.div_ceil(1000).saturating_add(CPU_GRACE_SECONDS).saturating_mul(*CORES);
    setrlimit(Resource::Cpu, Rlimit { current: Some(used.saturating_add(more)), maximum: None })?;
    Ok(())
}

/// Ends this process immediately when the node closes its side of the socket, even during a submit.
pub(super) fn end_with(socket: UnixStream) -> io::Result<()> {
    let watch = move || {
        // Polls only for the hangup, not for data.
        let mut fds = [PollFd::new(&socket, PollFlags::RDHUP)];
        while !matches!(poll(&mut fds, None), Ok(n) if n > 0) {}
        let _ = kill_process(getpid(), Signal::KILL);
    };
    thread::Builder::new().name("hangup".into()).stack_size(64 << 10).spawn(watch).map(|_| ())
}

/// Returns the mapped address space, in bytes. The first number of `statm` is in pages.
fn mapped_bytes() -> io::Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| io::Error::other("/proc/self/statm can't be parsed"))?;
    Ok(pages.saturating_mul(rustix::param::page_size() as u64))
}
