//! Plays a script of steps on each connection.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::frames;
use super::types::{Catalog, Types};
use crate::support::wait::{BOUND, eventually};

/// What the server does next on a connection. A client that hangs up ends the script.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads the start-up message. A request to cancel has been read by then.
    Startup,
    /// Reads messages up to one of this type.
    Expect(u8),
    Send(Vec<u8>),
    /// Sends the same again and again, so many bytes in all.
    Flood(Vec<u8>, usize),
    /// Sends these bytes one by one, again and again, with a pause before each.
    Dribble(Vec<u8>, Duration),
    /// Reads one message, so many bytes a second: an uplink that is slow.
    ReadSlowly(usize),
    Wait(Duration),
    /// Waits until the test says [`HostileServer::go`].
    AwaitGo,
    /// Waits until the client has hung up.
    AwaitEnd,
    /// Hangs up in good order. The end of a script does too.
    Close,
    /// Hangs up with a reset.
    Reset,
    /// Answers requests as a healthy server would, but for these, whose answer is given.
    Serve(Vec<(&'static str, Vec<u8>)>),
    /// Answers requests as a server that has types which the client does not know.
    ServeTypes(Types),
}

/// The code in place of a protocol version that makes a start-up message a request to cancel.
const CANCEL: i32 = 80_877_102;

/// How the connections of one server are to be treated.
struct Play {
    /// By the number of the connection; those after the last are treated as that one.
    scripts: Vec<Vec<Step>>,
    /// Requests to cancel.
    cancel: Vec<Step>,
    accepted: AtomicUsize,
    cancels: AtomicUsize,
    sent: AtomicUsize,
    /// The step that the first connection is at; `usize::MAX` at its end.
    at: AtomicUsize,
    going: Mutex<bool>,
    gone: Condvar,
    over: AtomicBool,
}

impl Play {
    fn step_of_go(&self) -> usize {
        let step = self.scripts[0].iter().position(|step| matches!(step, Step::AwaitGo));
        step.expect("BUG: a script that waits for nobody")
    }
}

/// A server on loopback. Its threads have ended when it is dropped.
pub struct HostileServer {
    address: SocketAddr,
    play: Arc<Play>,
    streams: Arc<Mutex<Vec<Weak<TcpStream>>>>,
    acceptor: Option<JoinHandle<()>>,
}

impl HostileServer {
    /// Starts one that plays the first script on its first connection, and so on, the last one on all further ones.
    pub fn start(scripts: Vec<Vec<Step>>, cancel: Vec<Step>) -> io::Result<HostileServer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        // So little that what the server does not read stays with the client.
        socket2::SockRef::from(&listener).set_recv_buffer_size(64 * 1024)?;
        let address = listener.local_addr()?;
        let play = Arc::new(Play {
            scripts,
            cancel,
            accepted: AtomicUsize::new(0),
            cancels: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
            at: AtomicUsize::new(0),
            going: Mutex::new(false),
            gone: Condvar::new(),
            over: AtomicBool::new(false),
        });
        let streams = Arc::default();
        let acceptor = {
            let (play, streams) = (Arc::clone(&play), Arc::clone(&streams));
            thread::Builder::new()
                .name("hostile-accept".into())
                .spawn(move || accept(&listener, &play, &streams))?
        };
        Ok(HostileServer { address, play, streams, acceptor: Some(acceptor) })
    }

    /// A connection string that leads here, in plain text.
    pub fn url(&self) -> String {
        format!("postgres://app:secret@{}/news?sslmode=disable", self.address)
    }

    /// Ends [`Step::AwaitGo`], also of connections that come later.
    pub fn go(&self) {
        *self.play.going.lock() = true;
        self.play.gone.notify_all();
    }

    /// Whether the first connection has come to its [`Step::AwaitGo`].
    pub fn awaits_go(&self) -> bool {
        self.play.at.load(SeqCst) == self.play.step_of_go()
    }

    /// Has the first connection go on from its [`Step::AwaitGo`], and waits until the client has some of what comes
    /// next ahead of it.
    #[track_caller]
    pub fn go_ahead(&self) {
        let state = || (self.play.at.load(SeqCst), self.play.sent.load(SeqCst));
        eventually(BOUND, "the server is ready", || self.awaits_go());
        let before = state();
        self.go();
        let has_begun = || state().0.saturating_sub(before.0) > 1 || state().1 > before.1;
        eventually(BOUND, "the server has begun", has_begun);
    }

    /// How many connections were accepted that did not turn out to be requests to cancel.
    pub fn connections(&self) -> usize {
        self.play.accepted.load(SeqCst)
    }

    /// How many requests to cancel came.
    pub fn cancels(&self) -> usize {
        self.play.cancels.load(SeqCst)
    }
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.play.over.store(true, SeqCst);
        self.go();
        // The acceptor sees that it is over at its next connection.
        let _ = TcpStream::connect(self.address);
        hang_up(&self.streams);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, play: &Arc<Play>, streams: &Mutex<Vec<Weak<TcpStream>>>) {
    let mut players = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        if play.over.load(SeqCst) {
            break;
        }
        let stream = Arc::new(stream);
        streams.lock().push(Arc::downgrade(&stream));
        let play = Arc::clone(play);
        let player = thread::Builder::new().name("hostile-player".into());
        players.extend(player.spawn(move || {
            // The client may hang up at any time.
            let _ = Player { stream: &stream, play: &play }.run();
        }));
    }
    hang_up(streams);
    players.into_iter().for_each(|player| drop(player.join()));
}

/// Plays one script.
struct Player<'a> {
    stream: &'a TcpStream,
    play: &'a Play,
}

impl Player<'_> {
    fn run(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        // A script may begin before the client has said anything, so what it is is looked at without reading it.
        let script = if self.is_cancel()? {
            self.play.cancels.fetch_add(1, SeqCst);
            &self.play.cancel
        } else {
            let number = self.play.accepted.fetch_add(1, SeqCst);
            &self.play.scripts[number.min(self.play.scripts.len() - 1)]
        };
        let is_first = std::ptr::eq(script, &self.play.scripts[0]);
        let outcome = script.iter().enumerate().try_for_each(|(index, step)| {
            if is_first {
                self.play.at.store(index, SeqCst);
            }
            self.step(step)
        });
        if is_first {
            self.play.at.store(usize::MAX, SeqCst);
        }
        outcome
    }

    fn is_cancel(&self) -> io::Result<bool> {
        let mut start = [0; 8];
        while self.stream.peek(&mut start)? < start.len() {
            if self.stream.peek(&mut start)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(start[4..] == CANCEL.to_be_bytes())
    }

    fn step(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Startup => self.body().map(drop),
            Step::Expect(tag) => {
                while self.message()?.0 != *tag {}
                Ok(())
            }
            Step::Send(bytes) => self.send(bytes),
            Step::Flood(frame, limit) => self.flood(frame, *limit),
            Step::Dribble(bytes, pause) => loop {
                for byte in bytes {
                    self.pause(*pause)?;
                    self.send(&[*byte])?;
                }
            },
            Step::ReadSlowly(rate) => self.read_slowly(*rate),
            Step::Wait(time) => self.pause(*time),
            Step::AwaitGo => {
                let mut going = self.play.going.lock();
                while !*going {
                    self.play.gone.wait(&mut going);
                }
                Ok(())
            }
            Step::AwaitEnd => loop {
                if self.stream.read(&mut [0; 4096])? == 0 {
                    return Ok(());
                }
            },
            Step::Close => self.stream.shutdown(Shutdown::Both),
            Step::Reset => {
                // So that the close, which is the end of the script, is a reset.
                socket2::SockRef::from(self.stream).set_linger(Some(Duration::ZERO))?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Step::Serve(answers) => self.serve(answers),
            Step::ServeTypes(types) => self.serve_types(Catalog::new(*types)),
        }
    }

    /// Waits, and says whether the test is over.
    fn pause(&self, time: Duration) -> io::Result<()> {
        thread::sleep(time);
        if self.play.over.load(SeqCst) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.play.sent.fetch_add(bytes.len(), SeqCst);
        Ok(())
    }

    fn flood(&mut self, frame: &[u8], limit: usize) -> io::Result<()> {
        let chunk = frame.repeat((64 * 1024 / frame.len()).max(1));
        let mut left = limit;
        while left > 0 {
            let chunk = &chunk[..chunk.len().min(left)];
            self.send(chunk)?;
            left -= chunk.len();
        }
        Ok(())
    }

    fn read_slowly(&mut self, rate: usize) -> io::Result<()> {
        const A_SECOND: u32 = 50;
        let mut header = [0; 5];
        self.stream.read_exact(&mut header)?;
        let [_, length @ ..] = header;
        let mut left = (u32::from_be_bytes(length) as usize).saturating_sub(4);
        let mut piece = vec![0; rate / A_SECOND as usize];
        while left > 0 {
            let piece = &mut piece[..left.min(rate / A_SECOND as usize)];
            self.stream.read_exact(piece)?;
            left -= piece.len();
            self.pause(Duration::from_secs(1) / A_SECOND)?;
        }
        Ok(())
    }

    /// Reads a length and what it counts besides itself.
    fn body(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut body = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4)];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut tag = [0];
        self.stream.read_exact(&mut tag)?;
        Ok((tag[0], self.body()?))
    }

    fn serve(&mut self, answers: &[(&'static str, Vec<u8>)]) -> io::Result<()> {
        let mut status = b'I';
        loop {
            let (tag, body) = self.message()?;
            let text = String::from_utf8_lossy(&body);
            if let Some((_, answer)) =
                answers.iter().find(|(request, _)| tag == b'Q' && text.starts_with(request))
            {
                self.send(answer)?;
                continue;
            }
            if text.starts_with("BEGIN") {
                status = b'T';
            } else if text.contains("ROLLBACK") || text.contains("COMMIT") {
                status = b'I';
            }
            match tag {
                b'Q' => self.send(&frames::answer(status))?,
                b'S' => self.send(&frames::ready(status))?,
                b'X' => return Ok(()),
                _ => {}
            }
        }
    }

    fn serve_types(&mut self, mut catalog: Catalog) -> io::Result<()> {
        let mut answers = Vec::new();
        loop {
            let (tag, body) = self.message()?;
            answers.extend(catalog.answer(tag, &body));
            match tag {
                b'Q' | b'S' => self.send(&std::mem::take(&mut answers))?,
                b'X' => return Ok(()),
                _ => {}
            }
        }
    }
}

fn hang_up(streams: &Mutex<Vec<Weak<TcpStream>>>) {
    for stream in streams.lock().drain(..).filter_map(|stream| stream.upgrade()) {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
