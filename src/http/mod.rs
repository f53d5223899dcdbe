//! Endpoints over HTTP, for people, probes and scrapers: what the pool tells, on one thread of its own.
//!
//! | path | answer |
//! | --- | --- |
//! | `/health/pool` | [`Health`](crate::report::Health) as JSON: 200 where the pool is healthy and its load normal, else 503 |
//! | `/healthz` | whether the database answers, as JSON: 200 or 503 |
//! | `/metrics` | [`metrics::text`](crate::metrics::text), for Prometheus |
//! | `/` | a page that shows gauges, the last five minutes, holders and waiters, live |
//! | `/admin/metrics/database` | everything as JSON: [`DatabaseStats`](crate::DatabaseStats), holders, queues |
//! | `/admin/metrics/history` | both tiers' gauges of the last five minutes, one sample a second; what is shorter may be missed |
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//! use tierpool::{MemoryManager, Tier, TieredPool, http};
//!
//! let pool = TieredPool::builder().build(|_| MemoryManager)?;
//! drop(pool.get(Tier::Automation)?); // the server has been seen
//! let server = http::serve(&pool, "127.0.0.1:0")?; // a port that is free
//!
//! let mut client = TcpStream::connect(server.addr())?;
//! client.write_all(b"GET /health/pool HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert!(answer.starts_with("HTTP/1.1 200 OK"));
//! assert!(answer.contains(r#""healthy":true,"message":"Pool healthy""#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Tools of the same user on the same machine have a door of their own, without an address: [`AdminOptions`];
//! and [`AdminSocket`] to ask there.
//!
//! # Who may ask
//!
//! An address of this machine alone (loopback) is open to all its users. On any other, `/admin/*` wants a bearer
//! token: [`ServerOptions::token`]; without one [`serve`] fails. The page itself tells nothing, and asks for the
//! token. Without a token `/admin/*` is told only to whom names the server by an address or as `localhost`, so that no
//! page of somebody else's in a browser reads it under a name of its own. There is no TLS here: beyond the machine let
//! a proxy that has it stand in front.
//!
//! # What it costs
//!
//! Nothing at a checkout; once a second the gauges are read. A handler reads the pool's statistics and calls neither
//! the database nor code of the user's but what [`Pool::stats`](crate::Pool::stats) does. Whether the database answers
//! is asked by a thread that lives as long as the question, at the most once in 5 s, and only where somebody asks for
//! `/healthz`. Whoever reads a pool has a handle of it meanwhile: should the program let go of its last one just then,
//! the pool's end, with its connections' close, comes on that thread.
//!
//! Each connection has one request. Their number, the size of a request's head, the time for it and the time in all are
//! bounded ([`ServerOptions`]). Beyond the bound on connections a few more are let in, for `/health/pool` and
//! `/healthz`: there a newcomer takes the place of the oldest.

// A module uses only modules in rows above its own.
//
// | module | job |
// | --- | --- |
// | `token` | the bearer token: where it comes from, and how it is compared |
// | `acts` | what may be done to a pool by way of the admin socket |
// | `view` | what of a pool is told, without keeping it open |
// | `check` | the last answer to whether the database answers, and who asks for it |
// | `ring` | the last minutes, for curves |
// | `reply` | an answer, with the headers that all have |
// | `page` | the page, and what it may do |
// | `clients` | who is let in, and for how long |
// | `routes` | who may have which answer, whatever stands behind the paths |
// | `site` | which path has which answer |
// | `admin` | the same for tools of the same user, by a socket of the file system |
// | `merge` | metrics of several processes as one text |
// | `processes` | the answers of a server for all processes of a user |
// | `server` | what a program holds of the endpoints on an address |
// | `options` | what a server is told, and its start |

#[cfg(unix)]
mod acts;
#[cfg(unix)]
mod admin;
mod check;
mod clients;
#[cfg(unix)]
mod merge;
mod options;
mod page;
#[cfg(unix)]
mod processes;
mod reply;
mod ring;
mod routes;
mod server;
mod site;
mod token;
mod view;

#[cfg(unix)]
pub use admin::{AdminOptions, AdminSocket};
pub use options::{ServerOptions, serve};
pub use server::Server;
