//! Seccomp filters that limit the system calls of a process. A forbidden call fails with `EPERM`, except `clone3`,
//! which fails with `ENOSYS`.

use crate::{Enforcement, Error};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use std::collections::BTreeMap;

/// A set of allowed system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Memory, threads, time, and streams that are already open. Everything else is forbidden, including executable
    /// memory.
    Compute,
    /// Calls that a graphics driver needs. Sockets, new programs, other processes and system administration are
    /// forbidden.
    Driver,
}

/// System calls that [`Calls::Compute`] allows with any arguments.
const COMPUTE: &[c_long] = &[
    // Open streams.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    // Threads, and signal handling of this process.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Allowed here because another filter rejects it with `ENOSYS`, which makes the C library fall back to `clone`.
    libc::SYS_clone3,
    // Time and randomness.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
];

/// System calls that [`Calls::Driver`] forbids with any arguments.
const NOT_FOR_DRIVERS: &[c_long] = &[
    // Network. The worker's own socket is already open.
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Programs and other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_tkill,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    // Ways to bypass these filters.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_personality,
    // Keys, tracing, and code in the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_syslog,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    // Administration.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Restricts the calling thread, and the threads it starts later, to `which`.
///
/// Returns [`Enforcement::None`] if the kernel or the architecture does not support seccomp.
///
/// # Errors
/// [`Error`] if the kernel supports seccomp but rejects a filter.
pub fn calls(which: Calls) -> Result<Enforcement, Error> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(Enforcement::None) };
    let failed = |error: &dyn std::fmt::Display| Error::new("seccomp", error);
    let rules = match which {
        Calls::Compute => compute(),
        Calls::Driver => not_for_drivers(),
    };
    let rules = rules.map_err(|e| failed(&e))?;
    let forbid = SeccompAction::Errno(libc::EPERM as u32);
    let (mismatch, found) = match which {
        Calls::Compute => (forbid, SeccompAction::Allow),
        Calls::Driver => (SeccompAction::Allow, forbid),
    };
    // `clone3` takes its flags in memory, which a seccomp filter can't read.
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let missing = SeccompAction::Errno(libc::ENOSYS as u32);
    for (rules, mismatch, found) in [(clone3, SeccompAction::Allow, missing), (rules, mismatch, found)] {
        let filter = SeccompFilter::new(rules, mismatch, found, arch).map_err(|e| failed(&e))?;
        let program = BpfProgram::try_from(filter).map_err(|e| failed(&e))?;
        match seccompiler::apply_filter(&program) {
            Ok(()) => {}
            Err(seccompiler::Error::Seccomp(error))
                // The kernel lacks seccomp, or a container forbids it.
                if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::EPERM | libc::EACCES)) =>
            {
                return Ok(Enforcement::None);
            }
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(Enforcement::Full)
}

fn only(argument: u8, op: SeccompCmpOp, value: u64) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    Ok(vec![SeccompRule::new(vec![SeccompCondition::new(argument, Dword, op, value)?])?])
}

fn compute() -> Result<Rules, seccompiler::BackendError> {
    let own = u64::from(std::process::id());
    let thread = libc::CLONE_THREAD as u64;
    let exec = libc::PROT_EXEC as u64;
    let mut rules: Rules = COMPUTE.iter().map(|call| (*call, Vec::new())).collect();
    // New threads only, no new processes.
    rules.insert(libc::SYS_clone, only(0, SeccompCmpOp::MaskedEq(thread), thread)?);
    // No executable mappings.
    rules.insert(libc::SYS_mmap, only(2, SeccompCmpOp::MaskedEq(exec), 0)?);
    rules.insert(libc::SYS_mprotect, only(2, SeccompCmpOp::MaskedEq(exec), 0)?);
    // Signals to this process only: `abort`, and the kill when the host exits.
    rules.insert(libc::SYS_tgkill, only(0, SeccompCmpOp::Eq, own)?);
    rules.insert(libc::SYS_kill, only(0, SeccompCmpOp::Eq, own)?);
    // Resource limits of this process only.
    let mut limits = only(0, SeccompCmpOp::Eq, 0)?;
    limits.extend(only(0, SeccompCmpOp::Eq, own)?);
    rules.insert(libc::SYS_prlimit64, limits);
    // Connected sockets only: no destination address.
    rules.insert(libc::SYS_sendto, only(4, SeccompCmpOp::Eq, 0)?);
    rules.insert(libc::SYS_prctl, only(0, SeccompCmpOp::Eq, libc::PR_SET_NAME as u64)?);
    Ok(rules)
}

fn not_for_drivers() -> Result<Rules, seccompiler::BackendError> {
    let own = u64::from(std::process::id());
    let mut rules: Rules = NOT_FOR_DRIVERS.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, only(0, SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64), 0)?);
    rules.insert(libc::SYS_tgkill, only(0, SeccompCmpOp::Ne, own)?);
    rules.insert(libc::SYS_kill, only(0, SeccompCmpOp::Ne, own)?);
    // The same calls under their x32 numbers, which some kernels accept.
    #[cfg(target_arch = "x86_64")]
    {
        const X32: c_long = 0x4000_0000;
        let twins: Vec<_> = rules.iter().map(|(call, rule)| (call | X32, rule.clone())).collect();
        rules.extend(twins);
        // Calls with other x32 numbers: execve, ptrace, rt_sigqueueinfo, kexec_load, rt_tgsigqueueinfo,
        // process_vm_readv, process_vm_writev, execveat.
        rules.extend([520, 521, 524, 528, 536, 539, 540, 545].map(|call| (call | X32, Vec::new())));
    }
    Ok(rules)
}
