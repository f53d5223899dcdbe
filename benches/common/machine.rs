//! The machine that a bench runs on, as far as it matters for the figures.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// One line: cores, processor, kernel, compiler, and how busy the machine is.
pub fn describe() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu_info = read("/proc/cpuinfo");
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let kernel = read("/proc/sys/kernel/osrelease");
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    let load = read("/proc/loadavg");
    format!(
        "{cores} cores, {}; Linux {}; {}; load average {}",
        model.unwrap_or("processor unknown"),
        kernel.trim(),
        rustc.unwrap_or_else(|_| "compiler unknown".to_owned()),
        load.split(' ').take(3).collect::<Vec<_>>().join(" "),
    )
}

/// The processor time of this process so far, all threads together, in steps of 10 ms.
pub fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("a process can read of itself");
    // The name of the program, in parentheses, may have spaces in it. What follows begins with the third field; the
    // times in user and in kernel mode are the fourteenth and the fifteenth, in hundredths of a second.
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("a number"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}
