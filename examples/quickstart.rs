//! A pool, two tiers and the status box, on connections that are nothing but numbers: runs without a server.

use std::thread;
use std::time::Duration;

use tierpool::{Error, MemoryManager, Tier, TieredPool};

fn main() -> Result<(), Error> {
    let pool = TieredPool::builder()
        .total_connections(6)
        .reserved(2)
        .automation(|tier| tier.base_size(3).max_overflow(1).connection_timeout(Duration::from_secs(5)))
        .build(|_| MemoryManager)?;

    // Eight workers share the four automation connections, first come, first served.
    thread::scope(|scope| {
        for worker in 1..=8 {
            let pool = &pool;
            scope.spawn(move || {
                for item in 1..=100 {
                    match pool.get(Tier::Automation) {
                        Ok(mut conn) => {
                            conn.tag(format!("worker {worker}, item {item}"));
                            *conn += 1;
                        }
                        Err(error) => eprintln!("worker {worker}: {error:#}"),
                    }
                }
            });
        }
    });

    // Automation is at its limit, and a person is served all the same.
    let taken: Vec<_> = (0..4).map(|_| pool.get(Tier::Automation)).collect::<Result<_, _>>()?;
    let adhoc = pool.get(Tier::Adhoc)?;
    pool.print_connection_status();
    for holder in pool.automation().holders() {
        println!("held by {holder}");
    }

    // What a caller is told that cannot be served: the gauges, and who has the connections.
    let refused = thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.automation().get_timeout(Duration::from_millis(50)).err());
        waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    if let Some(error) = refused {
        println!("\n{error:#}");
    }

    drop((taken, adhoc));
    let (automation, adhoc) = pool.close(Duration::from_secs(1));
    assert!(automation.is_complete() && adhoc.is_complete());
    Ok(())
}
