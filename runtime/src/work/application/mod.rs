//! The application: a program beside this one that turns an item into a result. It knows nothing of queues.
mod files;
mod http;

pub use files::Files;
pub use http::Http;

use super::args::HandingArgs;
use anyhow::Result;
use bytes::Bytes;
use std::time::Duration;

/// What is handed over.
#[derive(Debug, Clone)]
pub struct Handed {
    pub id: String,
    /// From 1.
    pub attempt: u32,
    pub body: Bytes,
    /// Headers that go along.
    pub headers: Vec<(String, String)>,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// The result, and headers that go along with it.
    Done {
        body: Bytes,
        headers: Vec<(String, String)>,
    },
    /// To be tried again, not before the time that the application asks for.
    Failed { reason: String, after: Option<Duration> },
    /// Trying again would be no use.
    Refused { reason: String },
    /// The application never saw it: nobody accepts connections.
    Away { reason: String },
}

/// How the application is reached.
#[derive(Debug)]
pub enum Application {
    Http(Box<Http>),
    Files(Files),
}

impl Application {
    /// # Errors
    /// When directories cannot be made.
    pub fn new(args: &HandingArgs) -> Result<Option<Application>> {
        if let Some(directory) = &args.files {
            let files = Files::new(directory.clone(), args.ready.clone(), args.timeout)?;
            return Ok(Some(Application::Files(files)));
        }
        let http = args
            .application
            .clone()
            .map(|uri| Http::new(uri, args.ready.clone(), args.timeout));
        Ok(http.map(Box::new).map(Application::Http))
    }

    /// Whether it can be handed something.
    pub async fn is_up(&self) -> bool {
        match self {
            Application::Http(http) => http.is_up().await,
            Application::Files(files) => files.is_up(),
        }
    }

    /// Hands an item over and waits for what comes of it. `longest`: results above this size could not be published.
    pub async fn call(&self, item: &Handed, longest: usize) -> Outcome {
        match self {
            Application::Http(http) => http.call(item, longest).await,
            Application::Files(files) => files.call(item, longest).await,
        }
    }
}
