//! How busy this machine is: processor, memory, disk. Read from `/proc` and, where it limits, from the
//! control group.

use std::{fs, path::Path};

const STAT: &str = "/proc/stat";
const MEMORY: &str = "/proc/meminfo";
const GROUP_LIMIT: &str = "/sys/fs/cgroup/memory.max";
const GROUP_USED: &str = "/sys/fs/cgroup/memory.current";

/// Processor time in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Spent on work.
    pub busy: u64,
    /// All there was.
    pub all: u64,
}

impl Cpu {
    /// Since the machine was started; `None` where it cannot be read.
    #[must_use]
    pub fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string(STAT).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // user nice system idle iowait irq softirq steal; what follows is counted in user already.
        let ticks: Vec<u64> = line
            .split_whitespace()
            .take(8)
            .filter_map(|word| word.parse().ok())
            .collect();
        let all: u64 = ticks.iter().sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        (ticks.len() == 8).then(|| Self {
            busy: all.saturating_sub(idle),
            all,
        })
    }

    /// What was spent since `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            busy: self.busy.saturating_sub(before.busy),
            all: self.all.saturating_sub(before.all),
        }
    }
}

/// Memory used and memory there is, in bytes: of the control group where it has a limit.
#[must_use]
pub fn memory() -> Option<(u64, u64)> {
    let number = |file: &str| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    match (number(GROUP_USED), number(GROUP_LIMIT)) {
        (Some(used), Some(limit)) => Some((used, limit)),
        _ => parse_memory(&fs::read_to_string(MEMORY).ok()?),
    }
}

fn parse_memory(text: &str) -> Option<(u64, u64)> {
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let (all, free) = (kib("MemTotal:")?, kib("MemAvailable:")?);
    Some((
        all.saturating_sub(free).saturating_mul(1024),
        all.saturating_mul(1024),
    ))
}

/// Free space and size of the file system of `folder`, in bytes, as an ordinary user may have it.
#[must_use]
pub fn disk(folder: &Path) -> Option<(u64, u64)> {
    let place = folder
        .ancestors()
        .find(|place| place.exists())
        .unwrap_or(Path::new("."));
    let found = nix::sys::statvfs::statvfs(place).ok()?;
    let unit = found.fragment_size();
    Some((
        found.blocks_available().saturating_mul(unit),
        found.blocks().saturating_mul(unit),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        let stat = "cpu  100 5 50 800 45 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        let cpu = Cpu::parse(stat).unwrap();
        assert_eq!(cpu, Cpu { busy: 155, all: 1000 });
        let later = Cpu { busy: 255, all: 1200 };
        assert_eq!(later.since(cpu), Cpu { busy: 100, all: 200 });
        assert_eq!(Cpu::parse("cpu 1 2"), None);
        let text = "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n";
        assert_eq!(parse_memory(text), Some((600 * 1024, 1000 * 1024)));
        assert_eq!(parse_memory("MemTotal: x kB"), None);
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(Cpu::read().is_some_and(|cpu| cpu.all > cpu.busy));
        assert!(memory().is_some_and(|(used, all)| used < all));
        let nowhere = std::env::temp_dir().join("not/there/yet");
        assert!(disk(&nowhere).is_some_and(|(free, size)| free <= size && size > 0));
    }
}
