//! A call on the client in which no code of the program runs.

use std::sync::Arc;

use super::pg_connection::PgConnection;
use crate::postgres::observer::WireState;

/// Until it is dropped the stream need not ask for the process at each of the call's turns.
struct OneCall(Option<Arc<WireState>>);

impl Drop for OneCall {
    fn drop(&mut self) {
        if let Some(wire) = &self.0 {
            wire.set_in_one_call(false);
        }
    }
}

impl PgConnection {
    /// Runs one call that returns when its answer has been read, so that nothing can fork between its turns: neither
    /// the values of parameters nor a notice callback, which run within, are a place for that. In a child that
    /// inherited the connection the stream tells so itself.
    pub(in crate::postgres) fn in_one_call<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> T {
        let wire = if self.is_inherited() { None } else { self.observer_handle() };
        wire.iter().for_each(|wire| wire.set_in_one_call(true));
        let _ends = OneCall(wire);
        call(self)
    }
}
