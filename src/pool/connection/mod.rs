//! One connection of a pool: what travels with it, and what stands in its slot.
//!
//! | module | job |
//! | --- | --- |
//! | `body` | the connection with its story: age, uses, generations |
//! | `card` | who has it, since when, and what its slot has counted |

pub(super) mod body;
pub(super) mod card;
