//! Calls no daemon makes are refused by the kernel, whatever becomes of the daemon, by seccomp.
//!
//! A list of what is refused, not of what is allowed: what the C library calls changes with its version, and
//! one that is updated must not end what guards a node. The shipped unit has the other kind of list besides.
//! What is refused fails as if it were not permitted; nothing is killed for it.
//!
//! Invariant: nothing a daemon does after it is attached is in here: it starts no process and no program,
//! loads nothing into the kernel, and enters no namespace but those of networks.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, apply_filter_all_threads,
};

/// For all threads there are, and those they start.
pub(super) fn install_everywhere() -> Result<(), String> {
    install(apply_filter_all_threads)
}

/// For the calling thread.
pub(super) fn install_here() -> Result<(), String> {
    install(apply_filter)
}

fn install(
    apply: impl Fn(&[seccompiler::sock_filter]) -> seccompiler::Result<()>,
) -> Result<(), String> {
    let programs = programs().map_err(|error| error.to_string())?;
    programs
        .iter()
        .try_for_each(|program| apply(program))
        .map_err(|error| format!("{error}; Linux filters calls with CONFIG_SECCOMP_FILTER"))
}

fn programs() -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let architecture: TargetArch = ARCH.try_into()?;
    let filter = |rules, errno: i32| -> Result<BpfProgram, seccompiler::BackendError> {
        let refuse = SeccompAction::Errno(errno.cast_unsigned());
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture)?.try_into()
    };
    // Its flags lie in memory, where a filter cannot look; the C library then takes the older call.
    let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    Ok([filter(refused()?, libc::EPERM)?, filter(absent, libc::ENOSYS)?])
}

/// The calls, and what their arguments must be for them to be refused; nothing for always.
fn refused() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut refused: BTreeMap<c_long, Vec<SeccompRule>> =
        NEVER.iter().chain(NEVER_HERE).map(|call| (*call, Vec::new())).collect();
    let own = u64::from(std::process::id());
    let mut when = |call, rules: Vec<Vec<SeccompCondition>>| {
        let rules = rules.into_iter().map(SeccompRule::new).collect::<Result<_, _>>()?;
        refused.insert(call, rules);
        Ok::<(), seccompiler::BackendError>(())
    };
    // What is no thread of this process, and threads elsewhere.
    let mut processes = vec![vec![has(0, THREAD, 0)?]];
    for flag in NAMESPACES {
        processes.push(vec![has(0, flag, flag)?]);
    }
    when(libc::SYS_clone, processes)?;
    when(libc::SYS_setns, vec![none_of(1, &[NETWORK])?])?;
    when(libc::SYS_bpf, vec![none_of(0, &BPF)?])?;
    when(libc::SYS_socket, vec![none_of(0, &FAMILIES)?])?;
    when(libc::SYS_tgkill, vec![none_of(0, &[own])?])?;
    // Code is what was there, or what the loader of libraries maps from a file.
    when(libc::SYS_mmap, vec![vec![has(2, WRITE | EXECUTE, WRITE | EXECUTE)?]])?;
    when(libc::SYS_mprotect, vec![vec![has(2, EXECUTE, EXECUTE)?]])?;
    when(libc::SYS_pkey_mprotect, vec![vec![has(2, EXECUTE, EXECUTE)?]])?;
    Ok(with_x32(refused))
}

/// The same calls under the numbers of the 32-bit ABI that shares the architecture's name.
fn with_x32(refused: BTreeMap<c_long, Vec<SeccompRule>>) -> BTreeMap<c_long, Vec<SeccompRule>> {
    if !cfg!(target_arch = "x86_64") {
        return refused;
    }
    let also = refused.clone().into_iter().map(|(call, rules)| (call | X32, rules));
    let own = X32_OWN.iter().map(|call| (call | X32, Vec::new()));
    refused.into_iter().chain(also).chain(own).collect()
}

fn has(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)
}

/// The kernel reads these arguments as 32 bits, whatever lies above.
fn none_of(
    argument: u8,
    allowed: &[u64],
) -> Result<Vec<SeccompCondition>, seccompiler::BackendError> {
    let differs = |value: &u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *value)
    };
    allowed.iter().map(differs).collect()
}

/// Programs, other processes, mounts and namespaces, the kernel's code, the node's name, clock and power,
/// keys, identities, and ways around all of this.
const NEVER: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_unshare,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_mknodat,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_personality,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
];

#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_mknod,
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[c_long] = &[];

const X32: c_long = 0x4000_0000;
/// `execve`, `ptrace`, `process_vm_readv`, `process_vm_writev`, `kexec_load`, `execveat`, `rt_sigqueueinfo`,
/// `rt_tgsigqueueinfo`: calls with numbers of their own there.
const X32_OWN: [c_long; 8] = [520, 521, 539, 540, 528, 545, 524, 536];

const THREAD: u64 = 0x0001_0000;
const NETWORK: u64 = 0x4000_0000;
/// Of mounts, cgroups, names, IPC, users, processes, networks.
const NAMESPACES: [u64; 7] =
    [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, NETWORK];
/// Looking up, updating, deleting and walking elements; pinning and what is pinned; running a program that is
/// there; asking about one; attaching one, and putting one in the place of another.
const BPF: [u64; 10] = [1, 2, 3, 4, 6, 7, 10, 15, 28, 29];
/// Unix, IPv4, IPv6, netlink.
const FAMILIES: [u64; 4] = [1, 2, 10, 16];
const WRITE: u64 = 2;
const EXECUTE: u64 = 4;

#[cfg(test)]
#[expect(unsafe_code, reason = "calls that have no wrapper are tried as well")]
mod tests {
    use std::fs;
    use std::io::{self, ErrorKind};
    use std::net::{ToSocketAddrs as _, UdpSocket};
    use std::process::Command;
    use std::thread;

    use super::*;

    /// Makes a call with these arguments; what the kernel says against it.
    fn refusal(call: c_long, arguments: [c_long; 3]) -> Option<i32> {
        let [first, second, third] = arguments;
        // SAFETY: no argument is a pointer the kernel could write through; null is refused.
        let result = unsafe { libc::syscall(call, first, second, third, 0, 0) };
        if result >= 0 { None } else { io::Error::last_os_error().raw_os_error() }
    }

    #[test]
    fn what_no_daemon_calls_is_refused_and_the_rest_goes_on() {
        let filtered = thread::spawn(|| {
            install_here().expect("this kernel filters");
            let started = Command::new("/bin/true").spawn().map(drop).map_err(|it| it.kind());
            assert_eq!(started, Err(ErrorKind::PermissionDenied));
            let eperm = Some(libc::EPERM);
            for call in NEVER.iter().chain(NEVER_HERE) {
                assert_eq!(refusal(*call, [0; 3]), eperm, "{call}");
            }
            assert_eq!(refusal(libc::SYS_clone3, [0; 3]), Some(libc::ENOSYS));
            // Loading a program, making a map, a namespace of mounts, raw packets, another process's end.
            for (call, arguments) in [
                (libc::SYS_bpf, [5, 0, 0]),
                (libc::SYS_bpf, [0, 0, 0]),
                (libc::SYS_setns, [0, 0x0002_0000, 0]),
                (libc::SYS_socket, [17, 3, 0]),
                (libc::SYS_tgkill, [1, 1, 0]),
                (libc::SYS_clone, [17, 0, 0]),
                (libc::SYS_mprotect, [0, 4096, 5]),
                (libc::SYS_mmap, [0, 4096, 7]),
            ] {
                assert_eq!(refusal(call, arguments), eperm, "{call} {arguments:?}");
            }
            // Looking up an element, and a namespace of networks, fail for what they are given.
            assert_ne!(refusal(libc::SYS_bpf, [1, 0, 0]), eperm);
            assert_eq!(refusal(libc::SYS_setns, [-1, 0x4000_0000, 0]), Some(libc::EBADF));
            thread::spawn(|| fs::read("/proc/self/status").expect("it is there"))
                .join()
                .expect("it ends");
            drop(UdpSocket::bind("127.0.0.1:0").expect("a socket"));
            assert!("localhost:80".to_socket_addrs().expect("it is known").next().is_some());
        });
        filtered.join().expect("it is as it should be");
    }
}
