//! The status of policies, which the leader writes.
//!
//! `writer` says what it should be, from what the watches have seen (`store/cluster/observed.rs`), from what the replicas
//! tell each other ([`replicas`]), and from the Pods that run (`pods`); and writes it where it is not so yet. What a status
//! says of a policy is the engine's business.
mod pods;
mod queue;
pub mod replicas;
mod transitions;
mod writer;

use super::duty::{Duty, Performing, Post};
use crate::{observe::events::Recorder, store::cluster::Observed};
use replicas::Place;
use std::sync::Arc;
use tokio::sync::watch;

/// Writes the status of policies.
#[derive(Debug)]
pub struct PolicyStatuses {
    /// The policies.
    pub observed: Arc<Observed>,
    /// Where replicas tell what they serve.
    pub place: Place,
    /// Whether Pods are to be counted.
    pub count_pods: bool,
    /// Where to report what a policy's author should see.
    pub recorder: Recorder,
}

impl Duty for PolicyStatuses {
    fn name(&self) -> &'static str {
        "policy status"
    }

    fn perform(&self, post: Post) -> Performing {
        let (sender, counting) = watch::channel(pods::Counting::default());
        let writer = writer::Writer::new(
            post.clone(),
            Arc::clone(&self.observed),
            self.place.clone(),
            self.recorder.clone(),
        );
        let count_pods = self.count_pods;
        Box::pin(async move {
            let count = async {
                match count_pods {
                    true => pods::count(post, sender).await,
                    false => {
                        sender.send_replace(pods::Counting::not_asked_for());
                        sender.closed().await;
                    }
                }
            };
            tokio::select! {
                () = count => {}
                () = writer.run(counting) => {}
            }
            Ok(())
        })
    }
}
