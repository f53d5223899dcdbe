//! What the stream takes note of as it reads along.

use std::sync::atomic::Ordering::Relaxed;

use super::{Pending, WireState};
use crate::postgres::observer::backend::BackendEvent;
use crate::postgres::observer::frontend::FrontendEvent;
use crate::postgres::sqlstate::{Meaning, means};

/// What is known of what there is to read. Written by the owner of the connection alone.
pub(super) const READING: u8 = 0;
/// A read has found nothing, between two messages.
pub(super) const DRY: u8 = 1;
/// Something has arrived that no read has had.
const TOLD: u8 = 2;
/// A read has had something, and the client is not to make another for now.
const PAUSED: u8 = 3;

impl WireState {
    /// Notes the descriptor of the socket. Before the stream is wrapped.
    pub fn set_descriptor(&self, descriptor: Option<i32>) {
        self.descriptor.store(descriptor.unwrap_or(-1), Relaxed);
    }

    /// Notes that a read has had something.
    pub fn note_read(&self) {
        self.at_rest.store(READING, Relaxed);
    }

    /// Notes that a read has found nothing, and whether that was between two messages.
    pub fn note_dry(&self, at_boundary: bool) {
        if self.at_rest.load(Relaxed) != TOLD {
            self.at_rest.store(if at_boundary { DRY } else { READING }, Relaxed);
        }
    }

    /// Notes that the client has come as far as it may for now, whether there is more or not.
    pub fn note_paused(&self) {
        if self.at_rest.load(Relaxed) == READING {
            self.at_rest.store(PAUSED, Relaxed);
        }
    }

    /// Whether no reply is due, nor any part of one left with a client that has stopped reading, as it does where its
    /// own reader has.
    pub fn is_read_out(&self) -> bool {
        self.at_rest.load(Relaxed) != READING && self.pending() == Pending::Nothing
    }

    /// Ends the opening, in which the client reads up to the last message; from here on requests are counted and its
    /// limit no longer holds.
    pub fn note_open(&self) {
        self.note_paused();
        self.exchange.note_open();
        self.allowance.lift();
    }

    /// Notes that something has arrived, by the kernel's word. The stream's own runtime may hear of it later, and reads
    /// that find nothing until then prove nothing.
    pub fn note_arrival(&self) {
        self.at_rest.store(TOLD, Relaxed);
    }

    /// Notes that the server is about to be asked to cancel what is under way.
    pub fn note_cancel(&self) {
        self.exchange.note_cancel();
    }

    pub fn note_sent(&self, event: FrontendEvent) {
        match event {
            FrontendEvent::Request(request) => {
                let due = self.exchange.due();
                let number = self.exchange.note_request(request);
                self.settings.note_request(number);
                self.settings.note_own(number, self.along.requested(due));
            }
            FrontendEvent::Sets(sets) => self.settings.note_text(self.exchange.sent(), sets),
            FrontendEvent::OfTypes(_) => {}
        }
    }

    pub fn note(&self, event: BackendEvent) {
        match event {
            BackendEvent::Ready(status) => {
                self.status.store(status, Relaxed);
                self.route.end_reply();
                self.exchange.note_ready();
            }
            BackendEvent::Listens | BackendEvent::Notification => self.listening.note(),
            BackendEvent::CopyIn => self.exchange.note_copy_in(),
            BackendEvent::Row(_) => {}
            BackendEvent::SettingsSet => {
                self.settings.note_tag(self.exchange.in_answer(), self.exchange.sent());
            }
            BackendEvent::ProcessId(id) => self.backend_pid.store(id, Relaxed),
            BackendEvent::Setting(setting, on) => self.route.note_setting(setting, on, self.is_open()),
            BackendEvent::Error { code, ends_session, cached_plan } => {
                self.errors.note(code, cached_plan);
                if ends_session {
                    self.errors.note_ending(code);
                    self.broken.store(true, Relaxed);
                }
                if means(code, Meaning::StatementUnknown) || means(code, Meaning::StatementTaken) {
                    self.statements_mixed_up.store(true, Relaxed);
                }
                if means(code, Meaning::Cancelled)
                    && !self.exchange.is_cancel_asked()
                    && let Some(place) = self.place()
                {
                    place.count_statement_timeout();
                }
                if means(code, Meaning::ReadOnly) {
                    self.route.note_refused_write();
                }
            }
        }
    }
}
