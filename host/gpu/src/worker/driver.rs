//! Sandbox of the device worker: it can access only the driver's files and the device.

use crate::options::DRIVER_VARIABLES;
use fabric_confine::{Calls, Files, User, calls, files};
use std::{
    env, fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Folders and files that Vulkan loaders and drivers read. They contain no user data.
const READ: [&str; 33] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/vulkan",
    "/usr/share/glvnd",
    "/usr/share/drirc.d",
    "/usr/share/libdrm",
    "/usr/share/nvidia",
    "/usr/share/egl",
    "/usr/local/share/vulkan",
    "/etc/vulkan",
    "/etc/glvnd",
    "/etc/drirc",
    "/etc/nvidia",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/nix/store",
    "/run/opengl-driver",
    "/sys",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/devices",
    "/proc/modules",
    "/proc/version",
    "/proc/driver/nvidia",
    "/proc/sys/vm",
    "/proc/sys/kernel",
    "/dev/urandom",
];

/// Name prefixes of GPU devices under `/dev`.
const DEVICES: [&str; 8] = ["dri", "nvidia", "kfd", "mali", "kgsl", "dxg", "udmabuf", "dma_heap"];

/// Restricts this process to its driver's files, its device and its socket. Must be called before other threads are
/// started.
pub(super) fn confine() -> io::Result<()> {
    let mut read: Vec<PathBuf> = READ.iter().map(PathBuf::from).collect();
    for variable in DRIVER_VARIABLES {
        let value = env::var_os(variable).unwrap_or_default();
        for path in env::split_paths(&value).filter(|path| path.is_absolute()) {
            if path.is_dir() {
                read.push(path);
            } else {
                read.extend(library_folder(&path));
                read.push(path);
            }
        }
    }
    let mut devices = devices();
    devices.extend(["/dev/null", "/dev/zero"].map(PathBuf::from));
    files(&Files { read, devices })?;
    calls(Calls::Driver)?;
    Ok(())
}

/// Returns the unprivileged user with this id, in the groups that may open the devices.
pub(super) fn user(id: u32) -> User {
    let mut groups = Vec::new();
    for device in devices() {
        let inside = fs::read_dir(&device).into_iter().flatten().flatten().map(|entry| entry.path());
        groups.extend(inside.chain([device.clone()]).filter_map(|path| fs::metadata(path).ok()).map(|file| file.gid()));
    }
    groups.sort_unstable();
    groups.dedup();
    groups.retain(|group| *group != 0);
    User { id, groups }
}

fn devices() -> Vec<PathBuf> {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| DEVICES.iter().any(|device| name.starts_with(device)))
    });
    named.map(|entry| entry.path()).collect()
}

/// Returns the folder of the library in a driver's description (`"library_path": "…"`). A relative path is resolved
/// against the description's folder.
fn library_folder(description: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(description).ok()?;
    let (_, rest) = text.split_once("\"library_path\"")?;
    let path = rest.split('"').nth(1)?;
    // A bare file name is resolved by the dynamic linker, so it has no folder.
    let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty())?;
    Some(description.parent()?.join(folder))
}
