//! A real nats-server with JetStream, that can be killed and started again with what it had on disk.
use crate::assets::{self, Program};
use crate::demand::{Absent, available, say};
use crate::keeper::{self, Kept};
use crate::{port, rundir};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A server; dropping it kills it, and removes its directory.
#[derive(Debug)]
pub struct NatsServer {
    program: PathBuf,
    dir: PathBuf,
    port: u16,
    settings: String,
    running: Option<Kept>,
}

impl NatsServer {
    /// Starts one with its own port and directory; `None` when the test shall be left out, as the server cannot be built.
    /// `settings` are lines of its configuration file.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(settings: &str) -> Option<NatsServer> {
        let mut server = NatsServer::prepare(settings)?;
        server.run();
        Some(server)
    }

    /// The same, not started yet.
    ///
    /// # Panics
    /// When it cannot be built, or its directory cannot be made.
    pub fn prepare(settings: &str) -> Option<NatsServer> {
        let program = available(assets::program(Program::NatsServer))?;
        let prepared = NatsServer::in_a_directory(program, settings);
        available(prepared.map_err(|error| Absent::Broken(format!("failed to prepare nats-server: {error:#}"))))
    }

    fn in_a_directory(program: PathBuf, settings: &str) -> Result<NatsServer> {
        let port = port::free()?;
        let dir = rundir::target().join(format!("programs/run/nats-{}-{port}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
        Ok(NatsServer {
            program,
            dir,
            port,
            settings: settings.to_owned(),
            running: None,
        })
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Lines of its configuration file from its next start on, instead of those that it had.
    pub fn configure(&mut self, settings: &str) {
        settings.clone_into(&mut self.settings);
    }

    /// Starts it, where it does not run, and waits until it accepts connections.
    ///
    /// # Panics
    /// When it does not come up; with its log.
    pub fn run(&mut self) {
        if self.running.is_none() {
            self.running = Some(self.launch().expect("failed to start nats-server"));
        }
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.running.as_mut().and_then(Kept::ended);
            let late = start.elapsed() > Duration::from_secs(60);
            assert!(
                !late && ended.is_none(),
                "nats-server does not come up ({ended:?}):\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn launch(&self) -> Result<Kept> {
        let config = self.dir.join("nats.conf");
        let store = self.dir.join("store");
        let jetstream = format!(
            "listen: \"127.0.0.1:{}\"\njetstream {{store_dir: \"{}\"}}\n",
            self.port,
            store.display()
        );
        fs::write(&config, jetstream + &self.settings)?;
        let log = || File::options().create(true).append(true).open(self.dir.join("log"));
        keeper::Program {
            path: &self.program,
            arguments: vec!["--config".to_owned(), config.display().to_string()],
            stdout: Stdio::from(log()?),
            stderr: Stdio::from(log()?),
            scratch: None,
        }
        .start()
    }

    /// Kills it as a power cut would; what it stored stays.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            say(&format!("nats-server's log is {}", self.dir.join("log").display()));
            return;
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
