//! Why a wait on a connection was ended.

/// Why a connection was abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Abandoned {
    /// It is of no use any more.
    GivenUp = 1,
    PoolClosed = 2,
    HeldTooLong = 3,
    /// By its borrower, of a server that was well as far as anybody knew.
    ByBorrower = 4,
}

impl Abandoned {
    /// The reason behind its number.
    pub fn of(number: u8) -> Self {
        match number {
            2 => Abandoned::PoolClosed,
            3 => Abandoned::HeldTooLong,
            4 => Abandoned::ByBorrower,
            _ => Abandoned::GivenUp,
        }
    }

    /// The text of the error with which the borrower's call fails.
    pub fn text(self) -> &'static str {
        match self {
            Abandoned::GivenUp => "the connection was abandoned by its pool",
            Abandoned::ByBorrower => "the connection was abandoned by its borrower",
            Abandoned::PoolClosed => "the connection was ended because its pool was closed",
            Abandoned::HeldTooLong => {
                "the connection was ended by its pool: it was held for too long (terminate_stuck_after)"
            }
        }
    }
}
