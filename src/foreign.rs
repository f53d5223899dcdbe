//! Code of others, which may panic: also as what it panicked with is dropped.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::text::harmless;

/// Calls it. A panic in it comes as its text, made harmless.
///
/// What a panic leaves half changed is for the caller to see to.
#[inline]
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(text_of)
}

#[cold]
fn text_of(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref().map(String::as_str)).unwrap_or("no message");
    let text = harmless(text);
    drop_quietly(payload);
    text
}

/// Drops what user code has left behind. A panic in that ends nothing: it is the user's own, and comes when all there
/// was to learn of the value is known.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // It may panic in its turn.
        std::mem::forget(payload);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any(Bomb);
        }
    }

    #[test]
    fn a_panic_comes_as_its_text_whatever_it_was_made_with() {
        let number = 7;
        assert_eq!(caught(|| panic!("plain")), Err::<(), _>("plain".to_owned()));
        assert_eq!(caught(|| panic!("with {number}\n")), Err::<(), _>(harmless("with 7\n")));
        assert_eq!(caught(|| panic_any(number)), Err::<(), _>("no message".to_owned()));
        assert_eq!(caught(|| panic_any(Bomb)), Err::<(), _>("no message".to_owned()));
        drop_quietly(Bomb);
        assert_eq!(caught(|| number), Ok(7));
    }
}
