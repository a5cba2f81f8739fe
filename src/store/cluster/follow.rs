//! One list and watch, kept going: whatever the API server does, it is asked again.
use super::publisher::Change;
use crate::observe::metrics::{Metrics, Source};
use futures_util::StreamExt;
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, pin::pin, sync::Arc, time::Duration};
use tokio::sync::mpsc::Sender;

/// Seconds that one watch lasts. The next one shows that the API server is there, and that we may still ask it.
const WATCH_SECONDS: u32 = 20;
/// The longest wait after an error.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends what the API server says about the objects of `api`, until nobody listens any more.
pub(super) async fn follow<K>(
    api: Api<K>,
    source: Source,
    metrics: Arc<Metrics>,
    changes: Sender<Change>,
    wrap: impl Fn(Event<K>) -> Change,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut complaint = Complaint::default();
    loop {
        let config = watcher::Config::default().timeout(WATCH_SECONDS);
        let mut events = pin!(watcher::watcher(api.clone(), config));
        let mut backoff = watcher::DefaultBackoff::default();
        while let Some(event) = events.next().await {
            let error = match event {
                Ok(event) => {
                    complaint.over(source, &event);
                    if changes.send(wrap(event)).await.is_err() {
                        return;
                    }
                    continue;
                }
                Err(error) => error,
            };
            metrics.reloaded(source, false);
            complaint.about(source, &error);
            tokio::time::sleep(backoff.next().map_or(PATIENCE, |pause| pause.min(PATIENCE))).await;
            if has_lost_events(&error) {
                break;
            }
        }
    }
}

/// Whether the watch cannot go on where it was: only a new list brings back what it has missed.
fn has_lost_events(error: &watcher::Error) -> bool {
    use kube::Error::{Api, SerdeError};
    match error {
        watcher::Error::WatchError(_) => true,
        watcher::Error::WatchFailed(Api(_) | SerdeError(_)) => true,
        watcher::Error::WatchStartFailed(Api(status)) => status.code == 410,
        _ => false,
    }
}

/// What was last complained of, so that it is said once.
#[derive(Default)]
struct Complaint(Option<String>);

impl Complaint {
    fn about(&mut self, source: Source, error: &watcher::Error) {
        let error = said(error);
        if self.0.as_ref() != Some(&error) {
            let source = source.as_str();
            tracing::error!(source, "{error}; serving what was last seen, and asking again");
            self.0 = Some(error);
        }
    }

    fn over<K>(&mut self, source: Source, event: &Event<K>) {
        // An attempt to list says nothing yet.
        if !matches!(event, Event::Init) && self.0.take().is_some() {
            tracing::info!(source = source.as_str(), "the API server answers again");
        }
    }
}

/// The error with its causes, and the way out where there is a usual one.
fn said(error: &watcher::Error) -> String {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    let status = match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status,
        _ => return chain(error),
    };
    let way_out = match status.code {
        404 => "; install the CRDs, which `outrigger crds` prints",
        401 | 403 => "; see the permissions that the operations page lists",
        _ => "",
    };
    format!("{} ({}){way_out}", status.message, status.code)
}

fn chain(error: &watcher::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    let mut text = error.to_string();
    for cause in causes.map(ToString::to_string) {
        // Many repeat their cause.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
