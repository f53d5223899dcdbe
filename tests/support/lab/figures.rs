//! The outcome of a run as plain numbers, which can pass from one process to another.

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Times are in seconds; one that never came is infinite.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct Figures {
            $($(#[$doc])* pub $name: f64,)*
        }

        impl Figures {
            /// All of them on one line.
            pub fn to_line(self) -> String {
                let mut line = String::new();
                $(line.push_str(&format!("{}={} ", stringify!($name), self.$name));)*
                line
            }

            /// Reads such a line; what it lacks is 0.
            pub fn from_line(line: &str) -> Self {
                let mut figures = Figures::default();
                for (name, value) in line.split(' ').filter_map(|field| field.split_once('=')) {
                    let value = value.parse().unwrap_or_default();
                    match name {
                        $(stringify!($name) => figures.$name = value,)*
                        _ => {}
                    }
                }
                figures
            }
        }
    };
}

figures! {
    /// From the begin of the fault to its end.
    outage,
    /// Pieces of work done.
    done,
    /// The longest that a worker was blocked.
    get,
    query,
    drop,
    /// Checkouts that failed, queries that did, and those of them of unknown outcome.
    not_got,
    failed,
    unknown,
    /// Failed checkouts that do not tell the right cause although an attempt to connect had failed.
    unnamed,
    /// The longest that a checkout took to fail once the pool should refuse at once.
    refusal,
    /// From the moment that counts to the first success and to full speed.
    first,
    full,
    /// Work lost, done twice, and done though reported as failed.
    lost,
    doubled,
    undead,
    /// Workers that never came back.
    stuck,
    /// The most attempts to connect in a second, and how many there were from a second into the fault to its end.
    attempts_a_second,
    attempts,
    evicted,
    /// After the fault: sessions on the server, connections that the pool counts, zombies.
    sessions,
    size,
    zombies,
    /// Threads and descriptors beyond those before the fault, and after the end beyond those before the pool.
    threads_left,
    fds_left,
    threads_after,
    fds_after,
    /// Lines of the log, and how often the most frequent one was given.
    log_lines,
    log_repeated,
    /// Of a program that ended while the fault lasted: how long closing took beyond its limit, how long waiters went
    /// on waiting, and how long the process lived on after `main`.
    close,
    woken,
    exit,
    /// The worst stall of the machine itself.
    stall,
}
