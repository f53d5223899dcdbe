//! The machine, shared between the stream and the connection's owner.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use parking_lot::Mutex;

use super::machine::Machine;
use super::states::{CommitAlong, Next};
use crate::postgres::observer::frames::Framer;

const WEAVES: u8 = 1;
const WATCHES: u8 = 1 << 1;
const EXPECTS: u8 = 1 << 2;
const LEAVES: u8 = 1 << 3;
const HELD: u8 = 1 << 4;

/// The machine of one connection.
///
/// The owner and the stream are on one thread, as [`WireState`](crate::postgres::observer::WireState) says. The lock
/// satisfies the compiler that they are; it is held for a step of the machine, in which nothing waits and no code of
/// others runs. Each step leaves its outcome in the atomics, which alone are looked at where there is nothing to do:
/// written and read by that thread, so `Relaxed`.
#[derive(Default)]
pub(crate) struct Along {
    machine: Mutex<Machine>,
    asks: AtomicU8,
    /// A transaction status, or 0.
    believed: AtomicU8,
}

impl Along {
    fn with<T>(&self, step: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.machine.lock();
        let outcome = step(&mut machine);
        let asks = [
            (machine.weaves(), WEAVES),
            (machine.watches(), WATCHES),
            (machine.expects(), EXPECTS),
            (machine.leaves(), LEAVES),
            (machine.is_held(), HELD),
        ];
        self.asks.store(asks.iter().map(|(asks, bit)| if *asks { *bit } else { 0 }).sum(), Relaxed);
        self.believed.store(machine.believed().unwrap_or(0), Relaxed);
        outcome
    }

    fn asks(&self, what: u8) -> bool {
        self.asks.load(Relaxed) & what != 0
    }

    // For the owner.

    /// Has these commands go along with the next request that is not a simple query, until the session ends.
    ///
    /// `is_read_only`: their transaction is, and it is looked at whether the client's commands leave it so.
    pub fn hold_begin(&self, commands: Vec<String>, is_read_only: bool) {
        self.with(|machine| machine.hold(commands, is_read_only));
    }

    /// Whether the session has begun read-only and each of its commands that are done only reads.
    pub fn only_reads(&self) -> bool {
        self.with(|machine| machine.only_reads())
    }

    /// Whether BEGIN was not sent yet.
    pub fn is_begin_held(&self) -> bool {
        self.asks(HELD)
    }

    /// What [`ASK_ISOLATION`](super::ASK_ISOLATION) was answered in the present session.
    pub fn is_serializable(&self) -> Option<bool> {
        self.with(|machine| machine.is_serializable())
    }

    /// Whether BEGIN was sent, and the server's last word of the transaction is from before it.
    pub fn is_begin_unanswered(&self) -> bool {
        self.with(|machine| machine.is_unanswered())
    }

    /// Whether the server has refused a BEGIN that went along.
    pub fn is_begin_refused(&self) -> bool {
        self.with(|machine| machine.is_refused())
    }

    /// Has a request wait for the answer before it where that ends a transaction, as a pooler lends by transactions.
    pub fn lent_by_transactions(&self) {
        self.with(Machine::lent_by_transactions);
    }

    /// Has COMMIT go along with the next request that executes a statement.
    pub fn arm_commit(&self) {
        self.with(Machine::arm_commit);
    }

    /// What became of it; `is_ended`: the server has ended the session. Takes it back where it was not sent.
    pub fn disarm_commit(&self, is_ended: bool) -> CommitAlong {
        self.with(|machine| machine.disarm_commit(is_ended))
    }

    /// Has COMMIT sent at the next turn, and its answer not waited for.
    pub fn leave(&self) {
        self.with(Machine::leave);
    }

    /// Ends the session: what was held is not sent any more, and what comes is no more refused.
    pub fn end_session(&self) {
        if self.asks(WEAVES | WATCHES) {
            self.with(Machine::end_session);
        }
    }

    /// What the owner is to believe of the transaction, where the server's last word is not the truth.
    pub fn believed(&self) -> Option<u8> {
        Some(self.believed.load(Relaxed)).filter(|status| *status != 0)
    }

    // For the stream.

    /// Whether the client's bytes go by [`Along::next`].
    pub fn weaves(&self) -> bool {
        self.asks(WEAVES)
    }

    pub(in crate::postgres::observer) fn next(&self, bytes: &[u8], client: Framer, is_due: bool) -> Next {
        self.with(|machine| machine.next(bytes, client, is_due))
    }

    /// Whether one is asked for that may have to be.
    pub fn leaves(&self) -> bool {
        self.asks(LEAVES)
    }

    /// Whether a COMMIT is to be sent now whose answer nobody waits for.
    pub fn take_leave(&self) -> bool {
        self.asks(LEAVES) && self.with(Machine::take_leave)
    }

    /// Takes note of a request that is sent while so many answers are due; returns how many settings the pool's own
    /// statements in it make.
    pub fn requested(&self, due: u64) -> u32 {
        if self.asks(EXPECTS) { self.with(|machine| machine.requested(due)) } else { 0 }
    }

    /// Whether the server's bytes go by [`Along::sift`].
    pub fn watches(&self) -> bool {
        self.asks(WATCHES)
    }

    /// Whether the server's message under way is taken out.
    pub fn is_hiding(&self) -> bool {
        self.watches() && self.with(|machine| machine.is_hiding())
    }

    pub(in crate::postgres::observer) fn sift(&self, server: Framer, bytes: &mut [u8]) -> usize {
        self.with(|machine| machine.sift(server, bytes))
    }
}
