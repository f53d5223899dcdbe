//! One connection through a proxy, with what is on its way in either direction.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use socket2::{Domain, SockFilter, SockRef, Socket, Type};

/// How much may be on its way in one direction before its sender is no longer read.
const MOST_QUEUED: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    Passing,
    /// Nothing passes until told otherwise.
    Deaf,
    /// Nothing ever passes again.
    Lost,
}

/// A direction through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// Bytes at which something is done to a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trap {
    pub(super) direction: Direction,
    /// None of them: at what comes next.
    pub(super) bytes: &'static [u8],
    pub(super) deed: Deed,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    /// It is cut ahead of all that was read with them.
    Cut,
    /// It is cut so many bytes behind their first, or at the end of what was read with them.
    CutWithin(usize),
    /// These, of the same number, are passed on in their place.
    Replace(&'static [u8]),
}

impl Trap {
    /// Where in what was read its bytes begin.
    fn is_sprung_by(&self, direction: Direction, read: &[u8]) -> Option<usize> {
        let is_there = self.direction == direction && !read.is_empty();
        is_there.then(|| (0..read.len()).find(|start| read[*start..].starts_with(self.bytes))).flatten()
    }
}

pub(super) struct Flow {
    pub(super) hearing: Hearing,
    client: TcpStream,
    /// None for a swallowed connection.
    server: Option<TcpStream>,
    up: Pipe,
    down: Pipe,
}

impl Flow {
    pub(super) fn new(client: TcpStream, target: Option<SocketAddr>) -> io::Result<Flow> {
        client.set_nonblocking(true)?;
        client.set_nodelay(true)?;
        let server = target.map(connect).transpose()?;
        let hearing = if server.is_some() { Hearing::Passing } else { Hearing::Lost };
        let (up, down) = (Pipe::new(Direction::ToServer), Pipe::new(Direction::ToClient));
        Ok(Flow { hearing, client, server, up, down })
    }

    /// What each of its sockets is to be ready for.
    pub(super) fn wants(&self, now: Instant) -> Vec<(&TcpStream, PollFlags)> {
        let Some(server) = self.server.as_ref().filter(|_| self.hearing == Hearing::Passing) else {
            return Vec::new();
        };
        let flags = |from_it: &Pipe, to_it: &Pipe| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, from_it.can_take());
            flags.set(PollFlags::OUT, to_it.has_due(now));
            flags
        };
        vec![(&self.client, flags(&self.up, &self.down)), (server, flags(&self.down, &self.up))]
    }

    /// When the next of what is delayed is due.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let pipes = [&self.up, &self.down].into_iter().filter(|_| self.hearing == Hearing::Passing);
        pipes.filter_map(|pipe| pipe.queue.front()).map(|chunk| chunk.due).filter(|due| *due > now).min()
    }

    /// Passes on what can be passed on. False when the connection has ended.
    pub(super) fn relay(&mut self, now: Instant, delay: Duration, trap: &mut Option<Trap>) -> bool {
        let Some(server) = self.server.as_mut().filter(|_| self.hearing == Hearing::Passing) else {
            return true;
        };
        let due = now + delay;
        let passed = self
            .up
            .take_in(&mut self.client, due, trap)
            .and_then(|()| self.up.pass_on(server, now))
            .and_then(|()| self.down.take_in(server, due, trap))
            .and_then(|()| self.down.pass_on(&mut self.client, now));
        match passed {
            Ok(()) => !(self.up.ended && self.down.ended),
            Err(_) => {
                self.abort();
                false
            }
        }
    }

    /// Has the kernel drop what arrives at either socket, or ends that.
    pub(super) fn lose_packets(&self, off: bool) -> io::Result<()> {
        let sockets = [Some(&self.client), self.server.as_ref()];
        sockets.into_iter().flatten().try_for_each(|socket| lose_packets(&SockRef::from(socket), off))
    }

    /// How many sockets it has.
    pub(super) fn sockets(&self) -> usize {
        1 + usize::from(self.server.is_some())
    }

    /// Ends the server's half by a reset.
    pub(super) fn forget(&mut self) {
        if let Some(server) = self.server.take() {
            // Fails only for a socket that was reset already.
            let _ = SockRef::from(&server).set_linger(Some(Duration::ZERO));
        }
    }

    /// Ends both its halves by a reset.
    pub(super) fn reset(mut self) {
        self.abort();
    }

    /// As one end failed, so the other is to see it fail. The sockets close with the flow.
    fn abort(&mut self) {
        for socket in [Some(&self.client), self.server.as_ref()].into_iter().flatten() {
            // Fails only for a socket that was reset already.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Puts a filter in front of a socket that lets no packet in, not even an acknowledgement, or takes it away.
pub(super) fn lose_packets(socket: &SockRef<'_>, off: bool) -> io::Result<()> {
    // BPF_RET with 0: of each packet no byte is kept.
    const NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0);
    match (off, socket.detach_filter()) {
        (true, _) => socket.attach_filter(&[NOTHING]),
        // ENOENT: there was none.
        (false, Err(error)) if error.kind() != ErrorKind::NotFound => Err(error),
        (false, _) => Ok(()),
    }
}

struct Chunk {
    due: Instant,
    /// Empty for the sender's end.
    bytes: Vec<u8>,
}

/// One direction.
struct Pipe {
    direction: Direction,
    queue: VecDeque<Chunk>,
    queued: usize,
    /// The sender ended; that may still be on its way.
    closing: bool,
    /// The receiver was told of the end.
    ended: bool,
    /// Cut, once what is queued was passed on.
    cut: bool,
}

impl Pipe {
    fn new(direction: Direction) -> Self {
        Pipe { direction, queue: VecDeque::new(), queued: 0, closing: false, ended: false, cut: false }
    }

    fn can_take(&self) -> bool {
        !self.closing && !self.cut && self.queued < MOST_QUEUED
    }

    fn has_due(&self, now: Instant) -> bool {
        self.queue.front().is_some_and(|chunk| chunk.due <= now)
    }

    /// Disarms the trap when that goes off; fails where that cuts the connection.
    fn take_in(&mut self, from: &mut TcpStream, due: Instant, trap: &mut Option<Trap>) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        while self.can_take() {
            let Some(mut count) = unless_blocked(from.read(&mut buffer))? else { break };
            let start = trap.and_then(|trap| trap.is_sprung_by(self.direction, &buffer[..count]));
            if let Some((start, trap)) = start.and_then(|start| Some((start, trap.take()?))) {
                match trap.deed {
                    Deed::CutWithin(behind) if start + behind > 0 => {
                        count = count.min(start + behind);
                        self.cut = true;
                    }
                    Deed::Cut | Deed::CutWithin(_) => return Err(ErrorKind::ConnectionReset.into()),
                    Deed::Replace(with) => buffer[start..start + with.len()].copy_from_slice(with),
                }
            }
            self.queued += count;
            self.closing = count == 0;
            self.queue.push_back(Chunk { due, bytes: buffer[..count].to_vec() });
        }
        Ok(())
    }

    fn pass_on(&mut self, to: &mut TcpStream, now: Instant) -> io::Result<()> {
        while self.has_due(now) {
            let chunk = self.queue.front_mut().expect("BUG: nothing is due in an empty queue");
            if chunk.bytes.is_empty() {
                to.shutdown(Shutdown::Write)?;
                self.ended = true;
                self.queue.clear();
                break;
            }
            let Some(count) = unless_blocked(to.write(&chunk.bytes))? else { break };
            chunk.bytes.drain(..count);
            self.queued -= count;
            // Not left empty in the queue, where it would mean the end.
            if chunk.bytes.is_empty() {
                self.queue.pop_front();
            }
        }
        if self.cut && self.queue.is_empty() {
            return Err(ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

fn unless_blocked(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Begins to connect. Whether it succeeds shows at the first read.
fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(socket.into()),
    }
}
