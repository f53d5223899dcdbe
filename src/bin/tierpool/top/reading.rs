//! The thread that looks, and does what it is told to sessions: no key waits for a server.

use std::io;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use tierpool::PgPool;

use super::seen::{Clients, Seen};
use super::state::{Deed, named};
use crate::seen::join::Joined;
use crate::seen::live;
use crate::seen::server::{self, Meant, Session};

/// News that wait to be shown. With more the thread waits.
const UNSHOWN: usize = 2;

/// What the thread has to tell.
pub enum News {
    Seen(Box<Seen>),
    /// What came of a deed.
    Said(String),
}

/// The other end of the thread, which ends with it.
pub struct Reader {
    news: Receiver<News>,
    deeds: Sender<(Deed, Session)>,
}

impl Reader {
    /// Starts the thread.
    pub fn start(pool: PgPool, meant: Meant, every: Duration) -> io::Result<Self> {
        let (tell, news) = bounded(UNSHOWN);
        let (deeds, todo) = bounded(1);
        let reading = move || read(&pool, &meant, every, &tell, &todo);
        thread::Builder::new().name("tierpool-top".to_owned()).spawn(reading)?;
        Ok(Reader { news, deeds })
    }

    /// What there is to tell, if anything; an error where the thread has ended, which it does by a panic alone.
    pub fn news(&self) -> io::Result<Option<News>> {
        match self.news.try_recv() {
            Ok(news) => Ok(Some(news)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(io::Error::other("the thread that looks has ended")),
        }
    }

    /// Has something done to a session; false while there is something to be done already.
    pub fn order(&self, deed: Deed, session: Session) -> bool {
        self.deeds.try_send((deed, session)).is_ok()
    }
}

fn read(
    pool: &PgPool,
    meant: &Meant,
    every: Duration,
    tell: &Sender<News>,
    todo: &Receiver<(Deed, Session)>,
) {
    loop {
        if tell.send(News::Seen(Box::new(look(pool, meant)))).is_err() {
            return;
        }
        match todo.recv_timeout(every) {
            Ok((deed, session)) => {
                if tell.send(News::Said(done(deed, &session))).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Looks once. Bounded, whatever the server and other processes do: some 20 s.
pub fn look(pool: &PgPool, meant: &Meant) -> Seen {
    // The processes first: whatever they tell of is there when the server is asked.
    let live = live::look();
    let silent = live.silent.iter().filter(|silent| meant.has(&silent.app));
    let mut notes: Vec<_> = live.notes.into_iter().chain(silent.map(ToString::to_string)).collect();
    let server = server::ask(pool);
    let clients = server.healthy.then(|| match pool.server_activity() {
        Ok(activity) => match pool.server_clients() {
            Ok(groups) => Ok(Clients::from((&activity, groups))),
            Err(error) => Err(error.to_string()),
        },
        Err(error) => Err(error.to_string()),
    });
    let joined = Joined::of(meant, live.pools, &server);
    notes.extend(joined.left_out.iter().cloned());
    notes.extend(joined.unlisted.iter().map(|error| format!("sessions are not listed: {error}")));
    if joined.pools.is_empty() {
        notes.push(
            "no process here has an admin socket (DB_POOL_ADMIN=1), so who waits is not known".to_owned(),
        );
    }
    Seen { joined, answers: server.healthy, message: server.message, server: clients, notes }
}

/// Does it as a pool of the application that the session belongs to, since no other may; what came of it.
fn done(deed: Deed, session: &Session) -> String {
    let who = named(session);
    let outcome = server::pool(&session.app).map_err(|failure| failure.to_string()).and_then(|pool| {
        let sent = match deed {
            Deed::Cancel => pool.cancel(session.meant),
            Deed::Terminate => pool.terminate(session.meant),
        };
        sent.map_err(|error| error.to_string())
    });
    match (deed, outcome) {
        (Deed::Cancel, Ok(true)) => format!("cancelled what ran in {who}"),
        (Deed::Terminate, Ok(true)) => format!("terminated {who}"),
        (_, Ok(false)) => format!("{who} has gone on or has ended, and was left alone"),
        (_, Err(error)) => error,
    }
}
