//! So many of something.

use std::fmt::Display;

/// The number and the word for one of them, in the plural where there is not one.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(number: N, what: &str) -> String {
    let ending = match what {
        _ if number == N::from(1) => "",
        "address" => "es",
        _ => "s",
    };
    format!("{number} {what}{ending}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|n: u32| counted(n, "slot")), ["0 slots", "1 slot", "2 slots"]);
        assert_eq!(counted(2_usize, "address"), "2 addresses");
    }
}
