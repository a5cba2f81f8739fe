//! Why a shard is missing: a closed set, told to the merging container, in a header, and as the label of a metric.
use hyper::StatusCode;
use std::fmt;

/// Why there is no answer of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Discovery knows no replica of it.
    NoReplica,
    /// No connection could be made.
    Connect,
    /// There was no whole answer by the deadline.
    Timeout,
    /// The connection broke, or what came is no HTTP.
    Broken,
    /// The answer has a status that is not accepted.
    Status(StatusCode),
    /// The answer is larger than allowed.
    TooLarge,
    /// There was no room for the answer.
    Overload,
    /// The answer is not JSON, and that is what is merged.
    NotJson,
    /// Nobody waited for it, as it could change nothing any more.
    NotAwaited,
}

impl Missing {
    /// All, for metrics.
    pub const KINDS: [&'static str; 9] = [
        "no-replica",
        "connect",
        "timeout",
        "broken",
        "status",
        "too-large",
        "overload",
        "not-json",
        "not-awaited",
    ];

    /// Its place in [`Self::KINDS`].
    pub fn kind(self) -> usize {
        match self {
            Missing::NoReplica => 0,
            Missing::Connect => 1,
            Missing::Timeout => 2,
            Missing::Broken => 3,
            Missing::Status(_) => 4,
            Missing::TooLarge => 5,
            Missing::Overload => 6,
            Missing::NotJson => 7,
            Missing::NotAwaited => 8,
        }
    }

    /// Whether the replica is at fault.
    pub fn is_failure_of_replica(self) -> bool {
        match self {
            Missing::Connect | Missing::Timeout | Missing::Broken => true,
            Missing::Status(status) => status.is_server_error(),
            _ => false,
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Status(status) => write!(out, "status-{}", status.as_u16()),
            other => out.write_str(Missing::KINDS[other.kind()]),
        }
    }
}
