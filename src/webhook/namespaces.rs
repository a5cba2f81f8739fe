//! Facts about a namespace that no snapshot has yet: it was made a moment ago.
//!
//! The webhook asks before it decides, and only then; where an answer comes from it does not know.
use outrigger_engine::Namespace;
use std::{fmt::Debug, pin::Pin, sync::Arc};

/// An answer to come.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<Option<Arc<Namespace>>, Unreadable>> + Send + 'a>>;

/// Who can say what a namespace is like.
pub trait Namespaces: Debug + Send + Sync {
    /// Reads one namespace; `None` when there is none of that name.
    ///
    /// It may take as long as it likes: who asks has a deadline, and may stop waiting at any time.
    fn read<'a>(&'a self, name: &'a str) -> Reading<'a>;
}

/// The facts could not be had. Why is logged where it is known; callers learn no more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;
