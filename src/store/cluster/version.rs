//! Which Kubernetes the cluster runs: it decides whether there are native sidecars.
use super::publisher::Change;
use anyhow::{Context, Result};
use kube::Client;
use std::time::Duration;
use tokio::{sync::mpsc::Sender, time::timeout};

/// How often to look: clusters are upgraded while we run.
const PERIOD: Duration = Duration::from_secs(300);
/// How soon to look again when there was no answer.
const AGAIN: Duration = Duration::from_secs(2);
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Sends the minor version whenever it is asked for, until nobody listens any more.
pub(super) async fn follow(client: Client, changes: Sender<Change>) {
    let mut complaint = None;
    loop {
        let pause = match ask(&client).await {
            Ok(minor) => {
                complaint = None;
                if changes.send(Change::Version(minor)).await.is_err() {
                    return;
                }
                PERIOD
            }
            Err(error) => {
                let error = Some(format!("{error:#}"));
                if let (true, Some(error)) = (complaint != error, &error) {
                    tracing::error!(
                        "failed to read the API server's version: {error}; --kubernetes-version does without"
                    );
                }
                complaint = error;
                AGAIN
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn ask(client: &Client) -> Result<u32> {
    let answer = timeout(ANSWER_TIME, client.apiserver_version()).await;
    let info = answer.context("no answer in time")??;
    minor(&info.major, &info.minor).with_context(|| format!("it is {}.{}, not 1.N", info.major, info.minor))
}

/// The number in `37` or, as some providers write it, `37+`.
fn minor(major: &str, minor: &str) -> Option<u32> {
    let digits = minor.trim_end_matches(|c: char| !c.is_ascii_digit());
    (major == "1").then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::minor;

    #[test]
    fn providers_decorate_the_minor_version() {
        for (given, expected) in [
            (("1", "37"), Some(37)),
            (("1", "28+"), Some(28)),
            (("2", "0"), None),
            (("1", ""), None),
            (("1", "x"), None),
        ] {
            assert_eq!(minor(given.0, given.1), expected, "{given:?}");
        }
    }
}
