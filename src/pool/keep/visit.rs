//! A visit to idle connections by which a database layer has something to ask.

use std::sync::Arc;

use r2d2::ManageConnection;

use crate::pool::fitness::aside::send_aside;
use crate::pool::fitness::judge::validation_of;
use crate::pool::shared::Shared;
use crate::pool::supply::close::put_back;

/// Has those idle connections validated now that `is_meant` picks. It is called without a lock, and must neither block
/// nor do I/O.
pub(crate) fn visit<M: ManageConnection>(
    shared: &Arc<Shared<M>>,
    mut is_meant: impl FnMut(&M::Connection) -> bool,
) {
    for index in 0..shared.lending.slots().count() {
        let Some(entry) = shared.lending.take_at(index) else { continue };
        if is_meant(&entry.body.conn) {
            let check = validation_of(shared, &entry.body);
            send_aside(entry, check);
        } else {
            put_back(entry);
        }
    }
}
