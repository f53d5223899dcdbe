//! A TCP proxy on loopback whose faults are switched at run time.

mod flow;
mod relay;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use flow::Direction;
use flow::{Deed, Trap};
use relay::{Counts, Order, Relay};

use super::wait::comes_true;

/// The relay never blocks and answers within microseconds; this is for a machine under load.
const ANSWER: Duration = Duration::from_secs(10);

/// What happens to connections made from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// They reach the target.
    Pass,
    /// They are accepted and nothing is ever said to them.
    Swallow,
    /// They are accepted and deaf: what they say arrives after [`Proxy::pass`].
    Hold,
    /// Nobody listens: the kernel refuses them.
    Refuse,
}

/// A proxy from a port of 127.0.0.1 to another, with one thread, `proxy-<port>`, for all its connections.
///
/// Every switch has taken effect when its method returns. The thread and all connections end on drop.
///
/// # Panics
///
/// All methods panic when the thread of the proxy ended or does not answer within 10 s.
pub struct Proxy {
    port: u16,
    orders: mpsc::Sender<(Order, mpsc::Sender<io::Result<Counts>>)>,
    /// A byte on it makes the relay look at its orders.
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy to a port of 127.0.0.1, in which everything passes.
    ///
    /// # Errors
    ///
    /// When no port is free or no thread can be started.
    pub fn start(target_port: u16) -> io::Result<Proxy> {
        Proxy::to(SocketAddr::from((Ipv4Addr::LOCALHOST, target_port)))
    }

    /// Starts a proxy to an address, as [`Proxy::start`] does.
    ///
    /// # Errors
    ///
    /// As that.
    pub fn to(target: SocketAddr) -> io::Result<Proxy> {
        let port = super::port::free_port()?;
        let (wake, woken) = UnixStream::pair()?;
        let (orders, inbox) = mpsc::channel();
        let relay = Relay::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), target, inbox, woken)?;
        let thread = thread::Builder::new().name(format!("proxy-{port}")).spawn(move || relay.run())?;
        Ok(Proxy { port, orders, wake, thread: Some(thread) })
    }

    /// Returns the port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends all faults: held connections go on with what they missed, new ones pass, nothing is delayed or dropped.
    ///
    /// Connections swallowed or lost stay so.
    pub fn pass(&self) {
        self.order(Order::Pass);
    }

    /// Says what happens to connections made from now on.
    pub fn admit(&self, admission: Admission) {
        self.order(Order::Admit(admission));
    }

    /// Makes a black hole of the present connections, both ways, until [`Proxy::pass`]. New ones are as before.
    pub fn deafen(&self) {
        self.order(Order::Deafen);
    }

    /// Makes a black hole of the present connections for good, as a firewall does that forgot them. New ones are as
    /// before.
    pub fn lose(&self) {
        self.order(Order::Lose);
    }

    /// Ends the present connections, also deaf, swallowed and lost ones, by a reset to both their ends.
    pub fn reset(&self) {
        self.order(Order::Reset);
    }

    /// Ends the connections lost by a reset to the server's end, as its keepalives would in time. Their clients hear
    /// nothing of it, ever.
    pub fn forget(&self) {
        self.order(Order::Forget);
    }

    /// Drops every packet that arrives from either side, those of new connections too, so that nothing is
    /// acknowledged, until [`Proxy::pass`].
    pub fn lose_packets(&self) {
        self.order(Order::LosePackets);
    }

    /// Delays all that is received from now on by a time, each way.
    pub fn delay(&self, time: Duration) {
        self.order(Order::Delay(time));
    }

    /// Lays a trap: the first connection on which these bytes come by in this direction is reset at both ends, and they
    /// are not passed on. It goes off once; [`Proxy::pass`] takes it away.
    ///
    /// They are looked for in what is read at a time, which is all of a small message.
    pub fn cut_at(&self, direction: Direction, bytes: &'static [u8]) {
        self.order(Order::Lay(Trap { direction, bytes, deed: Deed::Cut }));
    }

    /// Lays a trap as [`Proxy::cut_at`] does, of which so many bytes from the first of these on are passed on, as far
    /// as there are in what is read at a time; of no bytes at all it goes off at what comes next.
    pub fn cut_within(&self, direction: Direction, bytes: &'static [u8], behind: usize) {
        self.order(Order::Lay(Trap { direction, bytes, deed: Deed::CutWithin(behind) }));
    }

    /// Lays a trap as [`Proxy::cut_at`] does, that cuts nothing: others are passed on in the place of these bytes, on
    /// their way to the server.
    ///
    /// # Panics
    ///
    /// When they are not of the same number.
    pub fn garble(&self, bytes: &'static [u8], with: &'static [u8]) {
        assert_eq!(bytes.len(), with.len(), "the length of a message stands ahead of it");
        self.order(Order::Lay(Trap { direction: Direction::ToServer, bytes, deed: Deed::Replace(with) }));
    }

    /// Returns how many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.order(Order::Count).accepted
    }

    /// Returns how many connections are held open, deaf, swallowed and lost ones among them.
    pub fn open(&self) -> usize {
        self.order(Order::Count).open
    }

    /// Returns how many sockets these are, in this process.
    pub fn sockets(&self) -> usize {
        self.order(Order::Count).sockets
    }

    fn order(&self, order: Order) -> Counts {
        let (done, answer) = mpsc::channel();
        self.orders.send((order, done)).expect("the proxy's thread takes orders");
        self.wake();
        let answer = answer.recv_timeout(ANSWER).expect("the proxy's thread answers");
        answer.unwrap_or_else(|error| panic!("the proxy on port {} cannot do {order:?}: {error}", self.port))
    }

    fn wake(&self) {
        // Fails only when the relay has ended, which the caller sees by the missing answer.
        let _ = (&self.wake).write_all(&[0]);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let (done, _) = mpsc::channel();
        let _ = self.orders.send((Order::End, done));
        self.wake();
        if let Some(thread) = self.thread.take()
            && comes_true(ANSWER, || thread.is_finished())
        {
            // Its panic, if any, was shown when it happened.
            let _ = thread.join();
        }
    }
}
