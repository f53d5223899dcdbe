//! redis: a value set and read, and a counter that four threads raise. Nothing changed: `r2d2` is tierpool, by Cargo's
//! rename.

use std::thread;

use redis::TypedCommands;

fn main() {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL names the server");
    let client = redis::Client::open(url).unwrap();
    let pool = r2d2::Pool::builder().max_size(4).build(client).unwrap();
    let mut conn = pool.get().unwrap();

    conn.set("colour", "green").unwrap();
    assert_eq!(conn.get("colour").unwrap().as_deref(), Some("green"));

    thread::scope(|scope| {
        for _ in 0..4 {
            let pool = pool.clone();
            scope.spawn(move || pool.get().unwrap().incr("visits", 1).unwrap());
        }
        // Three connections for four threads.
        let pipe: (isize, String) = redis::pipe().incr("runs", 1).get("colour").query(&mut conn).unwrap();
        assert_eq!(pipe, (1, "green".into()));
    });
    let visits = conn.get_int("visits").unwrap();
    assert_eq!(visits, Some(4));
    println!("redis: 4 threads raised the counter");
}
