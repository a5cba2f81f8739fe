//! One call of the API server: never for ever, and with an error that says what to do.
use anyhow::{Result, anyhow};
use std::time::Duration;
use tokio::time::timeout;

/// How long an answer may take. The API server itself gives up after a minute; who waits for us does not.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The answer to a call, unless that takes too long.
///
/// # Errors
/// As the call's, or when there is no answer in time.
pub async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T> {
    match timeout(ANSWER_TIME, call).await {
        Ok(answer) => answer.map_err(said),
        Err(_) => Err(anyhow!(
            "the API server did not answer within {} s",
            ANSWER_TIME.as_secs()
        )),
    }
}

/// What the API server says, with the way out where there is a usual one. Still a [`kube::Error`] below.
fn said(error: kube::Error) -> anyhow::Error {
    let kube::Error::Api(status) = &error else {
        return error.into();
    };
    let way_out = match status.code {
        401 | 403 => "; see the permissions that the operations page lists",
        _ => "",
    };
    let said = format!("{} ({}){way_out}", status.message, status.code);
    anyhow::Error::new(error).context(said)
}

/// The HTTP status that the API server refused a call with.
pub fn status(error: &anyhow::Error) -> Option<u16> {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

/// The error with its causes, each said once.
pub fn text(error: &anyhow::Error) -> String {
    let refused = |cause: &&(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref::<kube::Error>(), Some(kube::Error::Api(_)))
    };
    let mut text = String::new();
    // A refusal of the API server is in what was made of it.
    for cause in error
        .chain()
        .take_while(|cause| !refused(cause))
        .map(ToString::to_string)
    {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// What went wrong, said once and not again until it is another thing, or over.
#[derive(Debug, Default)]
pub struct Complaint(Option<String>);

impl Complaint {
    /// The text to say, if it has not been said.
    pub fn about(&mut self, error: &anyhow::Error) -> Option<&str> {
        let text = text(error);
        if self.0.as_ref() == Some(&text) {
            return None;
        }
        self.0 = Some(text);
        self.0.as_deref()
    }

    /// It is over; whether there was anything.
    pub fn over(&mut self) -> bool {
        self.0.take().is_some()
    }
}
