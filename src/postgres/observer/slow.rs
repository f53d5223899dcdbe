//! The log of slow statements: how long each took, told in a line where that was too long.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use log::Level;

use super::backend::BackendEvent;
use super::state::WireState;
use super::texts::{Cut, TextScanner};
use crate::lines::{is_on, say};
use crate::pool::Place;
use crate::text::{Time, harmless};

/// Times the statements of one connection. There is one only where `slow_query` is set: without, no clock is read.
pub(super) struct SlowLog {
    limit: Duration,
    texts: TextScanner,
    /// Requests that are not answered yet, the oldest first. The client waits for its answers, so there are few.
    pending: VecDeque<Pending>,
    /// A text without a use, kept for its memory.
    spare: Cut,
    /// A COPY whose data is still to come, with the Sync that will be answered.
    copy: Option<Pending>,
    /// When the last answer ended: a request sent before that has been at work since then only.
    answered: Option<Instant>,
}

struct Pending {
    text: Cut,
    prepares: bool,
    since: Instant,
}

/// A statement that took too long.
struct Slow<'a> {
    pending: &'a Pending,
    took: Duration,
    end: End,
}

/// How a statement ended.
#[derive(Clone, Copy)]
enum End {
    Answered,
    /// With this SQLSTATE.
    Failed([u8; 5]),
    /// The connection went before the answer came.
    Lost,
}

impl SlowLog {
    pub(super) fn new(limit: Duration) -> Self {
        SlowLog {
            limit,
            texts: TextScanner::default(),
            pending: VecDeque::new(),
            spare: Cut::default(),
            copy: None,
            answered: None,
        }
    }

    /// Takes note of what the client has sent. What the pool sends for itself has no text here.
    pub(super) fn sent(&mut self, bytes: &[u8], shared: &WireState) {
        let SlowLog { texts, pending, spare, copy, .. } = self;
        texts.scan(bytes, |sent| {
            if let Some(copy) = copy.take_if(|_| sent.text.bytes.is_empty()) {
                return pending.push_back(copy);
            }
            let mut text = std::mem::take(spare);
            match shared.is_own() {
                true => text.clear(),
                false => text.clone_from(sent.text),
            }
            pending.push_back(Pending { text, prepares: sent.prepares, since: Instant::now() });
        });
    }

    /// Takes note of a request of the pool's own that did not pass by [`SlowLog::sent`].
    pub(super) fn sent_own(&mut self) {
        let text = Cut::default();
        self.pending.push_back(Pending { text, prepares: false, since: Instant::now() });
    }

    /// Takes note of what the server has said; logs the statement that it ends, if it was slow.
    pub(super) fn heard(&mut self, event: BackendEvent, shared: &WireState) {
        match event {
            BackendEvent::Error { code, .. } => self.fail(code, shared),
            BackendEvent::Ready(_) => self.answer(shared),
            BackendEvent::CopyIn => self.go_on_as_copy(),
            _ => {}
        }
    }

    fn answer(&mut self, shared: &WireState) {
        let Some(pending) = self.pending.pop_front() else { return };
        // Also of one without a text: whatever follows was behind it.
        let now = Instant::now();
        self.judge(&pending, now, End::Answered, shared);
        self.answered = Some(now);
        self.spare = pending.text;
    }

    /// A statement ends with its error. The end of the answer may be read much later, with the borrower's next call.
    fn fail(&mut self, code: [u8; 5], shared: &WireState) {
        if let Some(mut pending) = self.pending.pop_front() {
            self.judge(&pending, Instant::now(), End::Failed(code), shared);
            pending.text.clear();
            self.pending.push_front(pending);
        }
    }

    /// The command's own Sync is not answered, the one after the data is: the command lasts until then.
    fn go_on_as_copy(&mut self) {
        let Some(copy) = self.pending.pop_front() else { return };
        match self.pending.front_mut() {
            Some(next) if next.text.bytes.is_empty() => *next = copy,
            _ => self.copy = Some(copy),
        }
    }

    /// The connection is gone: whatever was not answered will not be.
    pub(super) fn lost(&mut self, shared: &WireState) {
        if let Some(pending) = self.copy.take().or_else(|| self.pending.pop_front()) {
            self.judge(&pending, Instant::now(), End::Lost, shared);
        }
        self.pending.clear();
    }

    fn judge(&self, pending: &Pending, now: Instant, end: End, shared: &WireState) {
        let since = self.answered.map_or(pending.since, |answered| answered.max(pending.since));
        let took = now.saturating_duration_since(since);
        if took >= self.limit && !pending.text.bytes.is_empty() {
            tell(&Slow { pending, took, end }, shared);
        }
    }
}

fn tell(slow: &Slow<'_>, shared: &WireState) {
    let place = shared.place();
    if let Some(place) = place {
        place.count_slow_query();
    }
    let origin = || place.and_then(Place::origin).ok_or("tierpool::postgres");
    if !is_on(Level::Warn, origin) {
        return;
    }
    let id = place.map(Place::connection_id);
    let connection = id.map(|id| format!("connection {id}, ")).unwrap_or_default();
    let holder = place.and_then(Place::holder);
    let held = holder.as_ref().map(|holder| format!(", held by {holder}")).unwrap_or_default();
    say!(
        Level::Warn,
        origin(),
        [
            connection_id = id,
            backend_pid = shared.backend_pid(),
            query_seconds = slow.took.as_secs_f64(),
            code = slow.code(),
            thread = holder.as_ref().map(|holder| holder.thread.as_str()),
            location = holder.as_ref().map(|holder| holder.location.to_string()),
            tag = holder.as_ref().and_then(|holder| holder.tag.as_deref()),
        ],
        "slow query: {connection}backend {}{held}: {slow}",
        shared.backend_pid()
    );
}

impl Slow<'_> {
    /// The SQLSTATE of a statement that failed.
    fn code(&self) -> Option<String> {
        match self.end {
            End::Failed(code) => Some(harmless(String::from_utf8_lossy(&code))),
            End::Answered | End::Lost => None,
        }
    }
}

impl fmt::Display for Slow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.pending.prepares { "prepared in" } else { "took" };
        write!(f, "{verb} {}", Time(self.took))?;
        match self.end {
            End::Answered => {}
            End::Failed(code) => write!(f, ", SQLSTATE {}", harmless(String::from_utf8_lossy(&code)))?,
            End::Lost => f.write_str(", not answered")?,
        }
        let Cut { bytes, is_cut } = &self.pending.text;
        let text = String::from_utf8_lossy(bytes);
        f.write_str(":")?;
        // One line, whatever the statement's own layout.
        for word in text.trim_end_matches(char::REPLACEMENT_CHARACTER).split_whitespace() {
            write!(f, " {}", harmless(word))?;
        }
        if *is_cut { f.write_str(" …") } else { Ok(()) }
    }
}
