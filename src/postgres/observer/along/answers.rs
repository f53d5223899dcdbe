//! Which parts of an answer are the pool's own.

/// The answer to one request, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// All of it is for the client.
    All,
    /// Nothing of it is: the request was the pool's own.
    Nothing,
    /// A part of it answers the pool's own statements.
    Woven(Woven),
}

/// What is still to come of an answer to a request with statements of the pool's own in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Woven {
    /// The pool's own ahead of the client's.
    pub ahead: u32,
    /// How many of these set something.
    pub sets: u32,
    /// Statements of the client's that are executed. Counted only where COMMIT comes behind them.
    pub executed: u32,
    /// COMMIT comes behind them.
    pub commits: bool,
    /// A statement has failed: the server skips what follows it.
    pub failed: bool,
}

/// What the end of a message of the server's means for the pool's own statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// The last one ahead of the client's is done.
    Begun,
    /// One ahead of the client's has failed, and all that follows it is skipped.
    BeginFailed,
    /// The client's statements are done: what comes answers COMMIT.
    CommitDue,
    /// A statement of the client's has failed, and so COMMIT is skipped.
    CommitSkipped,
    /// COMMIT has an answer.
    CommitDone,
    CommitFailed,
}

impl Answer {
    /// Whether a message of this type is the pool's own, and the client must not see it.
    pub fn hides(&self, tag: u8) -> bool {
        match self {
            Answer::All => false,
            // Notices, notifications and reports of parameters come of nobody's request.
            Answer::Nothing => !matches!(tag, b'N' | b'A' | b'S'),
            Answer::Woven(woven) => woven.is_in_own() && matches!(tag, b'1' | b'2' | b'C' | b'D'),
        }
    }

    /// Takes note of a message's end.
    pub fn heard(&mut self, tag: u8) -> Step {
        match self {
            Answer::Woven(woven) => woven.heard(tag),
            Answer::All | Answer::Nothing => Step::Nothing,
        }
    }
}

impl Woven {
    /// Whether what comes answers a statement of the pool's own.
    fn is_in_own(&self) -> bool {
        !self.failed && (self.ahead > 0 || self.commits && self.executed == 0)
    }

    fn heard(&mut self, tag: u8) -> Step {
        if self.failed {
            return Step::Nothing;
        }
        match tag {
            b'E' => self.fail(),
            b'C' | b'I' | b's' => self.complete(),
            _ => Step::Nothing,
        }
    }

    fn fail(&mut self) -> Step {
        self.failed = true;
        match self {
            Woven { ahead: 1.., .. } => Step::BeginFailed,
            Woven { commits: false, .. } => Step::Nothing,
            Woven { executed: 0, .. } => Step::CommitFailed,
            _ => Step::CommitSkipped,
        }
    }

    fn complete(&mut self) -> Step {
        if self.ahead > 0 {
            self.ahead -= 1;
            return if self.ahead == 0 { Step::Begun } else { Step::Nothing };
        }
        if !self.commits {
            return Step::Nothing;
        }
        if self.executed == 0 {
            self.commits = false;
            return Step::CommitDone;
        }
        self.executed -= 1;
        if self.executed == 0 { Step::CommitDue } else { Step::Nothing }
    }
}
