//! Where a BEGIN, a COMMIT and the client stand.

/// Where a session's BEGIN stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Begin {
    /// Nobody's business here: there is none, or the answer to its request has come to its end.
    #[default]
    Off,
    /// These commands go along with the next request that is not a simple query.
    Held(Vec<String>),
    /// Sent; the answer is under way.
    Sent,
    /// Done; the end of the answer, which tells of the transaction, is still to come.
    Begun,
    /// Refused; the end of the answer is still to come.
    Failing,
    /// Refused: nothing may be sent until the session is over.
    Doomed,
    /// A COMMIT that went along has ended the transaction: nothing may be sent until the session is over.
    Ended,
}

/// Where a COMMIT that goes along stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Commit {
    #[default]
    Off,
    /// It goes along with the next request that executes something.
    Armed,
    /// Sent; the statement's own answer is under way.
    Sent,
    /// The statement is done, COMMIT is at work.
    Due,
    Committed,
    /// The statement has failed, or has ended the transaction by itself.
    Skipped,
    Refused,
}

/// What became of a COMMIT that was to go along with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitAlong {
    /// It was not sent: nobody reads along on the connection, or the call sent no statement. The transaction is as the
    /// call has left it.
    NotSent,
    Committed,
    /// The statement failed, so that COMMIT was not run, or has ended the transaction itself.
    Skipped,
    /// COMMIT failed, and the transaction is over.
    Refused,
    /// It was sent, and no answer tells.
    Unknown,
}

/// Where the client stands in its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    /// At the beginning of one.
    #[default]
    Fresh,
    /// It does nothing but close statements and portals, so far.
    Closing,
    Going,
    /// It is not sent.
    Refused,
}

/// What is done with the client's next bytes.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::postgres::observer) enum Next {
    /// So many go on as they are. Where a message begins with them they must be taken now.
    Pass(usize),
    /// These of the pool's own go out first.
    Put(Vec<u8>),
    /// So many are not sent. This is the answer to the request that ends with them, if one does.
    Refuse(usize, Vec<u8>),
    /// Nothing goes out before the answers that are due have come.
    Wait,
    /// It must not be sent, and cannot be refused.
    Broken,
}
