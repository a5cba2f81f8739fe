//! Starts what the tests need: a real API server, the real webhook in front of it, and other webhooks beside it.
//!
//! Knows nothing of how Outrigger decides; it speaks to it as a cluster does. Everything that it starts ends with the
//! test process, however that ends ([`keeper`]). Where a tool is missing, [`demand`] says whether that is an error.

mod another;
pub mod answer;
pub mod assets;
pub mod audit;
pub mod balancer;
pub mod cargo;
pub mod claims;
pub mod cluster;
pub mod control_plane;
pub mod demand;
mod golang;
pub mod helm;
pub mod installation;
pub mod json_patch;
pub mod keeper;
pub mod kubectl;
mod log;
pub mod memory;
pub mod namespace;
pub mod nats;
pub mod node;
pub mod other_webhook;
pub mod page;
pub mod pki;
pub mod port;
pub mod proxy;
mod registration;
pub mod replica;
pub mod rundir;
pub mod shell;
pub mod stream;
pub mod webhook;

pub use answer::Answer;
pub use balancer::Balancer;
pub use cluster::Cluster;
pub use helm::Helm;
pub use installation::Installation;
pub use json_patch::JsonPatch;
pub use memory::Memory;
pub use namespace::Namespace;
pub use nats::NatsServer;
pub use node::Node;
pub use other_webhook::OtherWebhook;
pub use page::Page;
pub use proxy::Proxy;
pub use registration::SCENE;
pub use replica::Replica;
pub use shell::Shell;
pub use stream::Stream;
pub use webhook::Webhook;

/// Runs `future` to its end on a thread and a runtime of its own: for code that cannot wait itself, such as `Drop`.
pub(crate) fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("failed to start a runtime").block_on(future)
        };
        scope.spawn(run).join().expect("the helper thread panicked")
    })
}
