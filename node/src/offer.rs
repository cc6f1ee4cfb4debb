//! The resources that this node offers to guests, detected from the machine unless the operator configures them.

use fabric_types::{function::EntryKind, label::Labels};
use std::{
    fs, hint,
    path::Path,
    sync::{Arc, OnceLock},
    time::Instant,
};

/// The configured resources of a node. Missing ones are detected.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    /// Labels.
    pub labels: Labels,
    /// Memory for guests in bytes. Default: see [`machine_memory`].
    pub memory_bytes: Option<u64>,
    /// Speed of one CPU relative to a typical one. Default: measured, see [`measure`].
    pub speed: Option<f64>,
    /// Number of GPUs. Default: those listed by NVIDIA's driver.
    pub gpus: Option<u32>,
    /// Entry kinds that the node accepts. Default: empty, for all kinds.
    pub accepts: Vec<EntryKind>,
}

/// The resources with all values resolved.
#[derive(Debug, Clone)]
pub(crate) struct Offered {
    pub(crate) labels: Labels,
    pub(crate) memory_bytes: u64,
    pub(crate) gpus: u32,
    pub(crate) gpu_model: Option<String>,
    pub(crate) accepts: Vec<EntryKind>,
    speed: Arc<OnceLock<f64>>,
}

impl Offered {
    /// Detects the machine's resources. The speed is measured on a separate thread; until then it is 1.
    pub(crate) fn new(offer: Offer) -> Self {
        let (found, gpu_model) = gpus(Path::new("/proc/driver/nvidia/gpus"));
        let speed = Arc::new(OnceLock::new());
        match offer.speed {
            Some(known) => drop(speed.set(known)),
            None => {
                let tell = speed.clone();
                tokio::task::spawn_blocking(move || tell.set(measure()));
            }
        }
        Self {
            labels: offer.labels,
            memory_bytes: offer.memory_bytes.unwrap_or_else(machine_memory),
            gpus: offer.gpus.unwrap_or(found),
            gpu_model: gpu_model.filter(|_| offer.gpus != Some(0)),
            accepts: offer.accepts,
            speed,
        }
    }

    /// Returns the speed of one CPU; 1 until it is measured.
    pub(crate) fn speed(&self) -> f64 {
        self.speed.get().copied().unwrap_or(1.0)
    }
}

/// The share of the machine's memory that a server uses by default, in per cent. The rest is for the server's own
/// needs, for workers, and for other programs.
const OWN_SHARE: u64 = 80;

/// Returns the default memory limit of a server: 80 % of the machine's memory, or of its control group's limit if that
/// is lower.
#[must_use]
pub fn machine_memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kib: u64 = line.and_then(|l| l.trim().split(' ').next()?.parse().ok()).unwrap_or(1 << 20);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group_memory(&groups, Path::new("/sys/fs/cgroup")).unwrap_or(u64::MAX);
    (kib * 1024).min(group) / 100 * OWN_SHARE
}

/// Returns the lowest memory limit of the control groups of this process, of version 2 or 1.
fn group_memory(groups: &str, root: &Path) -> Option<u64> {
    let limit = |file: &Path| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let mut lowest = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let (base, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            c if c.split(',').any(|c| c == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        // In a container the path may be the host's, while the root is the container's own, so each ancestor is
        // checked.
        let own = base.join(path.trim_start_matches('/'));
        for folder in own.ancestors().take_while(|folder| folder.starts_with(&base)) {
            lowest = limit(&folder.join(file)).into_iter().chain(lowest).min();
        }
    }
    lowest
}

/// Returns the number of GPUs and the model of the first. NVIDIA's driver has a folder per GPU.
fn gpus(folder: &Path) -> (u32, Option<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return (0, None) };
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    let model = found.first().and_then(|path| {
        let text = fs::read_to_string(path.join("information")).ok()?;
        let model = text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim();
        (!model.is_empty()).then(|| model.chars().take(80).collect())
    });
    (u32::try_from(found.len()).unwrap_or(u32::MAX), model)
}

/// Rounds per slice of the measurement.
const ROUNDS: u32 = 1 << 18;
/// Number of slices. The fastest one counts, so that a burst of other work has no effect.
const SLICES: u32 = 24;
/// Nanoseconds of one round on a typical CPU of speed 1. A dependent chain of three shifts, three exclusive ors and a
/// multiplication takes about 9 cycles, which is 3 ns at 3 GHz.
const USUAL_ROUND_NS: f64 = 3.0;

/// Measures the speed of one CPU relative to one that runs a round of xorshift64* (Vigna 2016) in 3 ns. Takes about 20
/// ms.
fn measure() -> f64 {
    let slice = |mut x: u64| {
        let began = Instant::now();
        for _ in 0..ROUNDS {
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            x = x.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
        }
        hint::black_box(x);
        began.elapsed().as_nanos()
    };
    let best = (1..=SLICES).map(|n| slice(hint::black_box(u64::from(n)))).min().unwrap_or(1).max(1);
    let speed = USUAL_ROUND_NS * f64::from(ROUNDS) / best as f64;
    // Two decimals; more would be noise.
    (speed.clamp(0.01, 100.0) * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_counted_as_the_driver_shows_them() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(gpus(&dir.path().join("none")), (0, None));
        for name in ["0000:18:00.0", "0000:2a:00.0"] {
            let folder = dir.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("information"), "Model: \t\t NVIDIA H200\nIRQ:   \t\t 24\n").unwrap();
        }
        assert_eq!(gpus(dir.path()), (2, Some("NVIDIA H200".to_owned())));
    }

    #[test]
    fn the_lowest_limit_of_the_control_groups_counts() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let groups = "1:cpu:/x\n2:memory,foo:/pod/a\n0::/system.slice/fabric.service\n";
        assert_eq!(group_memory(groups, dir.path()), None);
        write("system.slice/fabric.service/memory.max", "max\n");
        write("system.slice/memory.max", "4096\n");
        assert_eq!(group_memory(groups, dir.path()), Some(4096));
        write("memory/memory.limit_in_bytes", "2048\n");
        assert_eq!(group_memory(groups, dir.path()), Some(2048));
        write("memory.max", "1024\n");
        assert_eq!(group_memory("0::/", dir.path()), Some(1024));
        assert!(machine_memory() > 0);
    }

    #[tokio::test]
    async fn what_the_operator_says_wins_and_the_speed_comes_later() {
        let offer = Offer { speed: Some(0.5), memory_bytes: Some(7), gpus: Some(3), ..Offer::default() };
        let offered = Offered::new(offer);
        assert_eq!((offered.speed(), offered.memory_bytes, offered.gpus), (0.5, 7, 3));
        let measured = measure();
        assert!((0.01..=100.0).contains(&measured), "{measured}");
    }
}
