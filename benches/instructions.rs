//! A fixed number of checkouts and nothing else, for a profiler that counts instructions: `.ci/instructions`.
//!
//! `cargo bench --bench instructions -- SUBJECT CYCLES`, where SUBJECT is `tierpool`, `r2d2` or `queue`.

use std::hint::black_box;
use std::process::ExitCode;

use crossbeam_queue::ArrayQueue;
use tierpool::MemoryManager;

const CONNECTIONS: u32 = 8;

fn tierpool_cycles(cycles: u64) {
    let pool = tierpool::Pool::builder().max_size(CONNECTIONS).build(MemoryManager).unwrap();
    for _ in 0..cycles {
        black_box(*pool.get().unwrap());
    }
}

fn r2d2_cycles(cycles: u64) {
    let builder = r2d2::Pool::builder().max_size(CONNECTIONS).test_on_check_out(false);
    let pool = builder.build(MemoryManager).unwrap();
    for _ in 0..cycles {
        black_box(*pool.get().unwrap());
    }
}

/// The limit: a queue that takes and gives, and knows nothing.
fn queue_cycles(cycles: u64) {
    let queue = ArrayQueue::new(CONNECTIONS as usize);
    (0..u64::from(CONNECTIONS)).for_each(|id| queue.push(Box::new(id)).unwrap());
    for _ in 0..cycles {
        let conn = queue.pop().unwrap();
        black_box(*conn);
        queue.push(conn).unwrap();
    }
}

fn main() -> ExitCode {
    // cargo adds `--bench`.
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // A run of all benches.
        [] | ["--test"] => tierpool_cycles(1),
        ["tierpool", cycles] if cycles.parse::<u64>().is_ok() => tierpool_cycles(cycles.parse().unwrap()),
        ["r2d2", cycles] if cycles.parse::<u64>().is_ok() => r2d2_cycles(cycles.parse().unwrap()),
        ["queue", cycles] if cycles.parse::<u64>().is_ok() => queue_cycles(cycles.parse().unwrap()),
        _ => {
            eprintln!("found {args:?}, expected SUBJECT (tierpool, r2d2, queue) and CYCLES (a whole number)");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
