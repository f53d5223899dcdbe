//! r2d2_mysql: three threads ask the server for its version. What changed is the `use` line of the pool.

use std::{env, sync::Arc, thread};

use r2d2_mysql::MySqlConnectionManager;
use r2d2_mysql::mysql::prelude::*;
use r2d2_mysql::mysql::{Opts, OptsBuilder};
use tierpool as r2d2;

fn main() {
    let url = env::var("DATABASE_URL").expect("DATABASE_URL names the server");
    let opts = Opts::from_url(&url).unwrap();
    let manager = MySqlConnectionManager::new(OptsBuilder::from_opts(opts));
    let pool = Arc::new(r2d2::Pool::builder().max_size(4).build(manager).unwrap());

    let threads: Vec<_> = (0..3)
        .map(|_| {
            let pool = pool.clone();
            thread::spawn(move || {
                let mut conn = pool.get().expect("a connection");
                let versions: Vec<String> = conn.query("SELECT version()").expect("an answer");
                assert_eq!(versions.len(), 1);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    println!("r2d2_mysql: 3 threads were answered");
}
