//! What the server does wrong in its answer to a last statement and the COMMIT along with it.

use super::scenarios::{Place, Scenario, scenario};
use super::support::hostile::Step;
use super::support::hostile::frames::{self, frame, ready};

/// All of them.
pub fn all() -> Vec<Scenario> {
    let done = || [frame(b'2', b""), frames::complete("INSERT 0 1")].concat();
    let prepared = [frame(b'1', b""), frame(b't', &[0, 0]), frame(b'n', b""), ready(b'I')].concat();
    // BEGIN's own answer comes ahead of the statement's.
    let begun = || [frame(b'1', b""), frame(b'2', b""), frames::complete("BEGIN")].concat();
    let fatal = frames::error("FATAL", "57P01", "going away");
    [
        ("the end without COMMIT's answer", [done(), ready(b'T')].concat()),
        ("the end after a FATAL", [done(), frames::complete("ROLLBACK"), fatal, ready(b'I')].concat()),
    ]
    .into_iter()
    .map(|(name, answer)| {
        let answer = Step::Send([begun(), answer].concat());
        let steps = vec![Step::Expect(b'S'), Step::Send(prepared.clone()), Step::Expect(b'S'), answer];
        scenario(Place::Ending, name, [steps, vec![Step::AwaitEnd]].concat())
    })
    .collect()
}
