//! How long each program was without a connection, where that is reckoned.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;

use super::PROGRAMS;
use crate::support::wait::MS;

/// What is shorter is not noted.
const NOTED: Duration = Duration::from_millis(500);

/// A time in which a program got nothing.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    pub program: usize,
    pub from: Instant,
    pub to: Instant,
}

impl Gap {
    pub fn length(&self) -> Duration {
        self.to - self.from
    }
}

/// What is known of the program of a number.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Which of those of this number it is.
    start: u32,
    /// When it was served last, or when it is reckoned with from; `None` while it is not.
    since: Option<Instant>,
    /// It has told something since its start; it has been served since it is reckoned with.
    is_there: bool,
    is_served: bool,
    /// How often it was served and not since its start, and those of this number before.
    counts: [u64; 2],
    before: [u64; 2],
}

impl Known {
    fn all(&self) -> [u64; 2] {
        [self.before[0] + self.counts[0], self.before[1] + self.counts[1]]
    }
}

struct Ledger {
    known: Vec<Known>,
    gaps: Vec<Gap>,
    is_over: bool,
}

/// What all programs have told.
pub struct Reckoning {
    ledger: Arc<Mutex<Ledger>>,
    folder: TempDir,
    thread: Option<thread::JoinHandle<()>>,
}

impl Reckoning {
    pub fn begin() -> Reckoning {
        let folder = TempDir::with_prefix("tierpool-forty-").unwrap();
        let socket = UnixDatagram::bind(folder.path().join("told")).unwrap();
        socket.set_read_timeout(Some(100 * MS)).unwrap();
        let ledger = Arc::new(Mutex::new(Ledger {
            known: vec![Known::default(); PROGRAMS],
            gaps: Vec::new(),
            is_over: false,
        }));
        let thread = thread::spawn({
            let ledger = Arc::clone(&ledger);
            move || {
                let mut bytes = [0; 100];
                while !ledger.lock().is_over {
                    if let Ok(length) = socket.recv(&mut bytes) {
                        ledger.lock().told(&bytes[..length]);
                    }
                }
            }
        });
        Reckoning { ledger, folder, thread: Some(thread) }
    }

    /// Where programs tell.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("told")
    }

    /// Another program of this number is started; returns which it is. It is reckoned with once it tells something.
    pub fn start(&self, program: usize) -> u32 {
        let mut ledger = self.ledger.lock();
        let known = &mut ledger.known[program];
        let (start, before) = (known.start + 1, known.all());
        *known = Known { start, before, ..Known::default() };
        start
    }

    /// It is killed, stopped or cut off.
    pub fn leave_out(&self, program: usize) {
        let mut ledger = self.ledger.lock();
        ledger.close(program, Instant::now());
    }

    /// It is reckoned with again from a time on.
    pub fn take_in(&self, program: usize, from: Instant) {
        let mut ledger = self.ledger.lock();
        let known = &mut ledger.known[program];
        (known.since, known.is_served) = (Some(from), false);
    }

    /// Leaves out all that are reckoned with; returns them, and since when they were without, or from when they are
    /// to be reckoned with.
    pub fn leave_out_all(&self) -> Vec<(usize, Instant)> {
        let mut ledger = self.ledger.lock();
        let now = Instant::now();
        let all: Vec<_> =
            (0..PROGRAMS).filter_map(|program| Some((program, ledger.known[program].since?))).collect();
        all.iter().for_each(|&(program, _)| ledger.close(program, now));
        all
    }

    /// Whether each of these has told something since its start.
    pub fn are_there(&self, programs: &[usize]) -> bool {
        let ledger = self.ledger.lock();
        programs.iter().all(|&program| ledger.known[program].is_there)
    }

    /// Whether each of these has been served since its start, or since it was taken in again.
    pub fn are_served(&self, programs: &[usize]) -> bool {
        let ledger = self.ledger.lock();
        programs.iter().all(|&program| ledger.known[program].is_served)
    }

    /// How often they were served, and how often not, all together; and how many never were.
    pub fn counts(&self) -> (u64, u64, usize) {
        let ledger = self.ledger.lock();
        let all: Vec<_> = ledger.known.iter().map(Known::all).collect();
        let sum = |of: usize| all.iter().map(|counts| counts[of]).sum();
        (sum(0), sum(1), all.iter().filter(|counts| counts[0] == 0).count())
    }

    /// All gaps, those that last still among them.
    pub fn gaps(&self) -> Vec<Gap> {
        let mut ledger = self.ledger.lock();
        let now = Instant::now();
        (0..PROGRAMS).for_each(|program| ledger.note(program, now));
        ledger.gaps.clone()
    }
}

impl Drop for Reckoning {
    fn drop(&mut self) {
        self.ledger.lock().is_over = true;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Ledger {
    /// A program has told: its number, which start of it, whether it has a connection, how often it was served and not.
    fn told(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("programs tell text");
        let numbers: Vec<u64> = text.split(' ').map(|word| word.parse().expect("a number")).collect();
        let [program, start, has_one, served, failed] = numbers[..] else { panic!("told {text}") };
        let (program, now) = (program as usize, Instant::now());
        // One that was killed may have told before.
        if u64::from(self.known[program].start) != start {
            return;
        }
        let known = &mut self.known[program];
        known.counts = [known.counts[0].max(served), known.counts[1].max(failed)];
        if !std::mem::replace(&mut known.is_there, true) {
            known.since = Some(now);
        }
        if has_one > 0 {
            self.note(program, now);
            let known = &mut self.known[program];
            known.since = known.since.map(|since| since.max(now));
            known.is_served = true;
        }
    }

    fn note(&mut self, program: usize, now: Instant) {
        if let Some(from) = self.known[program].since
            && now.saturating_duration_since(from) >= NOTED
        {
            self.gaps.push(Gap { program, from, to: now });
        }
    }

    fn close(&mut self, program: usize, now: Instant) {
        self.note(program, now);
        self.known[program].since = None;
    }
}
