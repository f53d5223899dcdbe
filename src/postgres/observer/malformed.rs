//! What no server sends that keeps to the protocol, and what is more than anybody reads.

use std::fmt;
use std::io;

/// Why a stream is not read on. It is the cause inside the `io::Error` of kind `InvalidData`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// A length that does not even count itself, or that is above 2 GiB.
    Length(u32),
    /// A type of message that there is none of, or that has no place behind the handshake.
    Type(u8),
    /// A message longer than any that is sent where no query is answered.
    TooLong(usize),
    /// A message other than a row or data that is longer than any that a server has a reason to send.
    NoData(usize),
    /// A transaction status other than `I`, `T` and `E`: so many bytes, with this one first.
    Status { first: u8, length: usize },
    /// More, in all, than is sent where no query is answered.
    TooMuch(u64),
    /// More reports of parameters in one reply than the client is to keep.
    Reports,
    /// A type that is made of others, and those of others, so many deep and more.
    TypesTooDeep(usize),
    /// More types of one statement, or in one type, than the client is to ask about.
    TooManyTypes(usize),
}

impl Malformed {
    /// Whether each message might have been one of a server's, but for their number.
    pub(crate) fn is_only_too_much(self) -> bool {
        matches!(self, Malformed::TooMuch(_) | Malformed::Reports)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let breach = match self {
            Malformed::TooMuch(bytes) => {
                return write!(f, "the server sent more than {bytes} bytes outside of a query");
            }
            Malformed::Length(length) => format!("a message announces a length of {}", length.cast_signed()),
            Malformed::Type(tag) => format!("a message of type {tag:#04x} has no place here"),
            Malformed::TooLong(length) => format!("outside of a query a message announces {length} bytes"),
            Malformed::NoData(length) => {
                format!("a message that is neither a row nor data announces {length} bytes")
            }
            Malformed::Status { first, length: 1 } => {
                format!("a reply ends with the transaction status {first:#04x}, and there are I, T and E")
            }
            Malformed::Status { length, .. } => {
                format!("a reply ends with a transaction status of {length} bytes, and each has one")
            }
            Malformed::TypesTooDeep(most) => {
                return write!(
                    f,
                    "the types within the type of a column or parameter are nested more than {most} deep"
                );
            }
            Malformed::TooManyTypes(most) => {
                return write!(
                    f,
                    "the columns and parameters of one statement have more than {most} types in all"
                );
            }
            Malformed::Reports => "a reply reports changed parameters without end".to_owned(),
        };
        write!(f, "the server does not keep to the protocol: {breach}")
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for io::Error {
    fn from(malformed: Malformed) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, malformed)
    }
}
