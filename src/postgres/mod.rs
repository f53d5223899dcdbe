//! PostgreSQL.

mod observer;
