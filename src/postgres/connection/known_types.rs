//! The types of the parameters of statements that no connection keeps.
//!
//! Behind a pooler that lends a server for a transaction at a time a prepared statement may be on another server than
//! the next call, so none is kept, and each call would have to prepare: one round trip to learn the types of its
//! parameters, one to run, and a message to close it. Where the types are known all of that is one request.
//!
//! Nothing is known but the types of parameters: what columns a statement returns comes with each answer.
//!
//! **For whom.** A type that PostgreSQL brings along has the same number on every server; one that somebody has made
//! (an enum, a domain, an extension's) has another in each database, and the driver asks for it. A text with such a
//! type, be it of a parameter or of a column, is known to the connection alone that has prepared it: the driver has
//! asked by then, and not when what it is to answer has been executed. All other texts are known to all connections.
//!
//! **Of which texts.** None that has a `timestamp` or a `timestamptz` among its parameters: the driver writes the same
//! value into both, and what was meant would depend on when the types were learnt.
//!
//! **For how long.** A server keeps the types of a prepared statement as they were when it was prepared, whatever
//! becomes of its tables, and so are they here: a parameter that was compared with an `int4` goes on being one beside a
//! column that is an `int8` by now. What does not work any more is told by an error, of the driver or the server, and
//! has the text forgotten. What works and means something else (`text` beside a column that is a `citext` by now) ends
//! when the statement is prepared anew, [`RENEWED_AFTER`] at the latest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use postgres::types::{Kind, ToSql, Type};
use postgres::{Client, Row, Statement};

/// One round trip more a minute and text is nothing; for longer than that nobody waits for a change to take hold.
const RENEWED_AFTER: Duration = Duration::from_secs(60);

/// The types of so many texts, the least recently used first to go.
pub(super) struct KnownTypes {
    /// Without a bound of its own: that one would reserve memory for all.
    known: LruCache<Box<str>, Known>,
    bytes: usize,
    bounds: Bounds,
}

#[derive(Clone, Copy)]
struct Bounds {
    texts: usize,
    bytes: usize,
}

struct Known {
    types: Arc<[Type]>,
    since: Instant,
}

impl KnownTypes {
    /// For all connections of a pool. Programs have fewer texts, unless they put values into them.
    pub fn of_all() -> Self {
        KnownTypes::within(Bounds { texts: 1024, bytes: 1 << 20 })
    }

    /// For one connection.
    pub fn of_one() -> Self {
        KnownTypes::within(Bounds { texts: 128, bytes: 1 << 16 })
    }

    fn within(bounds: Bounds) -> Self {
        KnownTypes { known: LruCache::unbounded(), bytes: 0, bounds }
    }

    /// The types of the parameters of this text, where they are known.
    pub fn get(&mut self, sql: &str, now: Instant) -> Option<Arc<[Type]>> {
        let known = self.known.get(sql)?;
        (now.saturating_duration_since(known.since) < RENEWED_AFTER).then(|| Arc::clone(&known.types))
    }

    /// Takes note of the types that the server has just told.
    pub fn learn(&mut self, sql: &str, types: &[Type], now: Instant) {
        self.forget(sql);
        let bytes = size(sql, types);
        if bytes > self.bounds.bytes {
            return;
        }
        while self.known.len() >= self.bounds.texts || self.bytes + bytes > self.bounds.bytes {
            let Some((oldest, known)) = self.known.pop_lru() else { break };
            self.bytes -= size(&oldest, &known.types);
        }
        self.bytes += bytes;
        self.known.put(sql.into(), Known { types: types.into(), since: now });
    }

    pub fn forget(&mut self, sql: &str) {
        if let Some((sql, known)) = self.known.pop_entry(sql) {
            self.bytes -= size(&sql, &known.types);
        }
    }
}

/// Whether a statement can be shared by all connections: the driver has to ask for none of its types.
pub(super) fn are_common(statement: &Statement) -> bool {
    let columns = statement.columns().iter().map(postgres::Column::type_);
    statement.params().iter().chain(columns).all(|of| Type::from_oid(of.oid()).is_some())
}

/// Whether the same value of the program's is another moment to another type than this one: a `SystemTime` goes into a
/// `timestamp` as it reads in UTC, which the server takes for the session's time zone where the column is a
/// `timestamptz` by now. Nobody would be told.
fn is_ambiguous(of: &Type) -> bool {
    match of.kind() {
        Kind::Simple => matches!(*of, Type::TIMESTAMP | Type::TIMESTAMPTZ),
        Kind::Array(of) | Kind::Range(of) | Kind::Multirange(of) => is_ambiguous(of),
        _ => false,
    }
}

/// Whether the types of a statement's parameters can be kept.
pub(super) fn are_kept(statement: &Statement) -> bool {
    !statement.params().iter().any(is_ambiguous)
}

/// What an entry takes besides the fixed part, which the bound on their number covers.
fn size(sql: &str, types: &[Type]) -> usize {
    sql.len() + size_of_val(types)
}

/// How a call runs its statement.
pub(in crate::postgres) enum Ready {
    /// It is on the server.
    Prepared(Statement),
    /// It goes along, with the types of its parameters.
    Typed(Arc<[Type]>),
}

type Params<'a> = [&'a (dyn ToSql + Sync)];

/// Parameters with their types.
fn typed<'a>(params: &Params<'a>, types: &[Type]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    params.iter().copied().zip(types.iter().cloned()).collect()
}

impl Ready {
    /// The types of its parameters.
    pub fn types(&self) -> &[Type] {
        match self {
            Ready::Prepared(statement) => statement.params(),
            Ready::Typed(types) => types,
        }
    }

    pub fn query(
        &self,
        client: &mut Client,
        sql: &str,
        params: &Params<'_>,
    ) -> Result<Vec<Row>, postgres::Error> {
        match self {
            Ready::Prepared(statement) => client.query(statement, params),
            Ready::Typed(types) => client.query_typed(sql, &typed(params, types)),
        }
    }

    pub fn query_one(
        &self,
        client: &mut Client,
        sql: &str,
        params: &Params<'_>,
    ) -> Result<Row, postgres::Error> {
        match self {
            Ready::Prepared(statement) => client.query_one(statement, params),
            Ready::Typed(types) => client.query_typed_one(sql, &typed(params, types)),
        }
    }

    pub fn query_opt(
        &self,
        client: &mut Client,
        sql: &str,
        params: &Params<'_>,
    ) -> Result<Option<Row>, postgres::Error> {
        match self {
            Ready::Prepared(statement) => client.query_opt(statement, params),
            Ready::Typed(types) => client.query_typed_opt(sql, &typed(params, types)),
        }
    }

    pub fn execute(
        &self,
        client: &mut Client,
        sql: &str,
        params: &Params<'_>,
    ) -> Result<u64, postgres::Error> {
        match self {
            Ready::Prepared(statement) => client.execute(statement, params),
            Ready::Typed(types) => client.execute_typed(sql, &typed(params, types)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_forgotten_after_a_minute_and_when_told_to() {
        let mut known = KnownTypes::of_one();
        let now = Instant::now();
        known.learn("a", &[Type::INT4], now);
        known.learn("b", &[], now);
        assert_eq!(known.get("a", now).as_deref(), Some([Type::INT4].as_slice()));
        assert_eq!(known.get("a", now + RENEWED_AFTER), None);
        known.learn("a", &[Type::INT8], now + RENEWED_AFTER);
        assert_eq!(known.get("a", now + RENEWED_AFTER).as_deref(), Some([Type::INT8].as_slice()));
        known.forget("a");
        assert_eq!((known.get("a", now), known.get("b", now).as_deref()), (None, Some([].as_slice())));
        assert_eq!(known.bytes, 1);
    }

    #[test]
    fn texts_and_their_bytes_are_bounded_and_the_least_recently_used_goes_first() {
        let mut known = KnownTypes::within(Bounds { texts: 2, bytes: 10 });
        let now = Instant::now();
        known.learn("a", &[], now);
        known.learn("b", &[], now);
        assert!(known.get("a", now).is_some());
        known.learn("c", &[], now);
        assert_eq!(["a", "b", "c"].map(|sql| known.get(sql, now).is_some()), [true, false, true]);
        known.learn("nine byte", &[], now);
        assert_eq!(["a", "c", "nine byte"].map(|sql| known.get(sql, now).is_some()), [false, true, true]);
        known.learn("eleven byte", &[], now);
        assert!(known.get("eleven byte", now).is_none() && known.get("nine byte", now).is_some());
        assert_eq!((known.bytes, known.known.len()), (10, 2));
    }
}
