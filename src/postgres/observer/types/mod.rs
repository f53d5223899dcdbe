//! What the client asks about types that it does not know, and what it is answered.
//!
//! To prepare a statement the client learns of each parameter and column what type it is. Of one that it does not know
//! it asks by a statement of its own, which it prepares at the first question, and then of the types that this one is
//! made of. The client's statements are told by how their texts begin.
//!
//! | module | job |
//! | --- | --- |
//! | `questions` | what the client asks |
//! | `row` | what the server answers |

mod questions;
mod row;

pub(super) use questions::QuestionReader;
pub(crate) use questions::{Asking, Question};
pub(crate) use row::FirstWords;
pub(super) use row::RowReader;
