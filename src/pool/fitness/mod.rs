//! Whether a connection may be lent, and what becomes of one that may not, or not yet.
//!
//! | module | job |
//! | --- | --- |
//! | `judge` | the judgement, and the validation or reset that settles a doubt |
//! | `suspect` | one found dead makes the older ones suspect |
//! | `retire` | connections that are too old, evicted or one too many; the whole generation of a misrouted one |
//! | `aside` | validation and reset on a helper thread |

pub(super) mod aside;
pub(super) mod judge;
pub(super) mod retire;
pub(super) mod suspect;
