//! What can be set: the table of all settings, the values they take, and the sources they come from.
//!
//! From the lowest to the highest; a module uses only those above it.
//!
//! | module | job |
//! | --- | --- |
//! | `pgbouncer` | what is between the pool and the server |
//! | `value` | the kinds of values: how text becomes one, and how it is shown |
//! | `source` | where a value came from |
//! | `env` | environment variables |
//! | `rows` | the table: every setting with its names, its default and what it does |
//! | `overrides` | what a program sets by itself |
//! | `profiles` | named sets of defaults |

pub(super) mod env;
pub(super) mod overrides;
pub(super) mod pgbouncer;
pub(super) mod profiles;
pub(super) mod rows;
pub(super) mod source;
pub(super) mod value;
