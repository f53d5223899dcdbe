//! The one thread of a proxy: waits for sockets and orders, never for anything else.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::SockRef;

use super::Admission;
use super::flow::{self, Flow, Hearing, Trap};

/// What a proxy is told to do; the methods of `Proxy` say what each means.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Pass,
    Admit(Admission),
    Deafen,
    Lose,
    Reset,
    Forget,
    LosePackets,
    Delay(Duration),
    Lay(Trap),
    Count,
    End,
}

pub(super) struct Counts {
    pub(super) accepted: usize,
    pub(super) open: usize,
    pub(super) sockets: usize,
}

type Inbox = mpsc::Receiver<(Order, mpsc::Sender<io::Result<Counts>>)>;

pub(super) struct Relay {
    address: SocketAddr,
    target: SocketAddr,
    /// None while connections are refused.
    listener: Option<TcpListener>,
    /// Not `Refuse` where there is a listener.
    admission: Admission,
    flows: Vec<Flow>,
    delay: Duration,
    trap: Option<Trap>,
    accepted: usize,
    inbox: Inbox,
    woken: UnixStream,
}

impl Relay {
    pub(super) fn new(
        address: SocketAddr,
        target: SocketAddr,
        inbox: Inbox,
        woken: UnixStream,
    ) -> io::Result<Self> {
        woken.set_nonblocking(true)?;
        let listener = Some(listen(address)?);
        let (flows, delay, trap) = (Vec::new(), Duration::ZERO, None);
        Ok(Relay {
            address,
            target,
            listener,
            admission: Admission::Pass,
            flows,
            delay,
            trap,
            accepted: 0,
            inbox,
            woken,
        })
    }

    /// Works until told to end, or until the proxy is gone.
    pub(super) fn run(mut self) {
        loop {
            self.wait();
            let _ = self.woken.read(&mut [0; 64]);
            loop {
                match self.inbox.try_recv() {
                    Ok((Order::End, _)) | Err(mpsc::TryRecvError::Disconnected) => return,
                    Ok((order, done)) => {
                        // An order nobody waits for any more is done all the same.
                        let _ = done.send(self.obey(order));
                    }
                    Err(mpsc::TryRecvError::Empty) => break,
                }
            }
            self.accept();
            let now = Instant::now();
            self.flows.retain_mut(|flow| flow.relay(now, self.delay, &mut self.trap));
        }
    }

    /// Waits until a socket is ready, an order is there, or something delayed is due.
    fn wait(&self) {
        let mut fds = vec![PollFd::from_borrowed_fd(self.woken.as_fd(), PollFlags::IN)];
        fds.extend(
            self.listener.iter().map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)),
        );
        let now = Instant::now();
        for flow in &self.flows {
            // A socket of which nothing is wanted is left out: poll would report its hang-up over and over.
            let wanted = flow.wants(now).into_iter().filter(|(_, flags)| !flags.is_empty());
            fds.extend(wanted.map(|(socket, flags)| PollFd::from_borrowed_fd(socket.as_fd(), flags)));
        }
        let due = self.flows.iter().filter_map(|flow| flow.next_due(now)).min();
        let timeout = due.map(|due| Timespec::try_from(due - now).expect("BUG: a delay of centuries"));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("the proxy cannot wait for its {} sockets: {error}", fds.len()),
        }
    }

    fn obey(&mut self, order: Order) -> io::Result<Counts> {
        match order {
            Order::Pass => {
                self.delay = Duration::ZERO;
                self.lose_packets(false)?;
                self.trap = None;
                self.hear(Hearing::Deaf, Hearing::Passing);
                self.admit(Admission::Pass)?;
            }
            Order::Admit(admission) => self.admit(admission)?,
            Order::Deafen => self.hear(Hearing::Passing, Hearing::Deaf),
            Order::Lose => {
                self.hear(Hearing::Passing, Hearing::Lost);
                self.hear(Hearing::Deaf, Hearing::Lost);
            }
            Order::Forget => {
                self.flows.iter_mut().filter(|flow| flow.hearing == Hearing::Lost).for_each(Flow::forget);
            }
            Order::LosePackets => self.lose_packets(true)?,
            Order::Reset => self.flows.drain(..).for_each(Flow::reset),
            Order::Delay(time) => self.delay = time,
            Order::Lay(trap) => self.trap = Some(trap),
            Order::Count => {}
            Order::End => unreachable!("BUG: the loop takes the order to end itself"),
        }
        let sockets = self.flows.iter().map(Flow::sockets).sum();
        Ok(Counts { accepted: self.accepted, open: self.flows.len(), sockets })
    }

    /// Has the kernel drop what arrives at all sockets, or ends that.
    fn lose_packets(&mut self, off: bool) -> io::Result<()> {
        self.accept();
        for flow in &self.flows {
            flow.lose_packets(off)?;
        }
        self.listener.iter().try_for_each(|listener| flow::lose_packets(&SockRef::from(listener), off))
    }

    fn hear(&mut self, before: Hearing, after: Hearing) {
        // Those whose handshake is done but that were not accepted yet count as present.
        self.accept();
        for flow in self.flows.iter_mut().filter(|flow| flow.hearing == before) {
            flow.hearing = after;
        }
    }

    fn admit(&mut self, admission: Admission) -> io::Result<()> {
        self.accept();
        self.admission = admission;
        if admission == Admission::Refuse {
            self.listener = None;
        } else if self.listener.is_none() {
            self.listener = Some(listen(self.address)?);
        }
        Ok(())
    }

    /// Takes in all that are waiting to be accepted.
    fn accept(&mut self) {
        while let Some(Ok((client, _))) = self.listener.as_ref().map(TcpListener::accept) {
            self.accepted += 1;
            let target = (self.admission != Admission::Swallow).then_some(self.target);
            // An error here is the target's refusal. The client, dropped, sees its connection end.
            let Ok(mut flow) = Flow::new(client, target) else { continue };
            if self.admission == Admission::Hold {
                flow.hearing = Hearing::Deaf;
            }
            self.flows.push(flow);
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
