//! Serves from files: loads them, watches them, and replaces the snapshot when they change.
//!
//! The watch makes a change quick; looking at the files every few seconds makes it certain.
use super::{
    Current,
    documents::{Look, SETTLED},
    namespaces::NamespaceFile,
    policies::PolicyFiles,
    renderings::Kept,
};
use crate::observe::{
    health,
    metrics::{Metrics, Source},
};
use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use notify::{
    Event, EventKind, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use outrigger_engine::{Images, Settings, Snapshot};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

/// How often the files are looked at without being told of a change.
const PERIOD: Duration = Duration::from_secs(3);
/// A change is taken up when nothing else has changed for so long …
const QUIET: Duration = SETTLED;
/// … or at last after this; files that are still being written wait even then.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why to look at the files before it is time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Something has changed.
    Changed,
    /// Someone wants it now.
    Asked,
}

/// Where the files are, and what does not come from them.
#[derive(Debug, Clone)]
pub struct Files {
    /// Directory of the policies.
    pub policies: PathBuf,
    /// File of Namespace manifests.
    pub namespaces: Option<PathBuf>,
    /// Instead of those that the policies name.
    pub images: Images,
    /// For each snapshot.
    pub settings: Settings,
}

/// The files, and the snapshot made of them.
#[derive(Debug)]
pub struct FileStore {
    policies: PolicyFiles,
    namespaces: Option<NamespaceFile>,
    settings: Settings,
    directory: PathBuf,
    complaints: [Option<String>; 2],
    current: Current,
    metrics: Arc<Metrics>,
}

impl FileStore {
    /// Loads everything once.
    ///
    /// # Errors
    /// When the directory or the file of namespaces cannot be read. A broken policy is not an error: others are served.
    pub fn open(files: Files, metrics: Arc<Metrics>) -> Result<FileStore> {
        let mut policies = PolicyFiles::new(files.policies.clone()).with(files.images);
        policies
            .look(Look::Now)
            .context("--policies needs a directory of policies")?;
        let mut namespaces = files.namespaces.map(NamespaceFile::new);
        if let Some(file) = &mut namespaces {
            file.look(Look::Now)
                .context("--namespaces needs a file of Namespace manifests")?;
        }
        let mut store = FileStore {
            policies,
            namespaces,
            settings: files.settings,
            directory: files.policies,
            complaints: [None, None],
            current: Arc::new(ArcSwap::from_pointee(Snapshot::default())),
            metrics,
        };
        store.publish();
        for source in [Source::Policies, Source::Namespaces] {
            store.metrics.seen(source, health::now());
        }
        Ok(store)
    }

    /// The snapshot of the moment.
    pub fn current(&self) -> Current {
        Arc::clone(&self.current)
    }

    /// Looks at the files again, and replaces the snapshot if something has changed. Says whether there is a change that
    /// is still being written, and has to be looked at again.
    pub fn refresh(&mut self, look: Look) -> bool {
        let policies = self.policies.look(look);
        let namespaces = self.namespaces.as_mut().map_or(Ok(false), |file| file.look(look));
        let unsettled = policies.as_ref().is_ok_and(|found| found.unsettled)
            || self.namespaces.as_ref().is_some_and(NamespaceFile::is_unsettled);
        let policies = policies.map(|found| (found.changed, found.failed));
        let policies_changed = self.note(Source::Policies, policies);
        let namespaces_changed = self.note(Source::Namespaces, namespaces.map(|changed| (changed, false)));
        if policies_changed || namespaces_changed {
            self.publish();
        }
        unsettled
    }

    /// Counts and says what came of a look at one source; whether there is something new to serve.
    fn note(&mut self, source: Source, outcome: Result<(bool, bool)>) -> bool {
        let (changed, failed, complaint) = match outcome {
            Ok((changed, failed)) => (changed, failed, None),
            Err(error) => (false, false, Some(format!("{error:#}"))),
        };
        let said = &mut self.complaints[source as usize];
        let news = complaint.is_some() && *said != complaint;
        if let (true, Some(complaint)) = (news, &complaint) {
            tracing::error!("{complaint}; keeping what was read before");
        }
        if complaint.is_none() {
            self.metrics.seen(source, health::now());
        }
        *said = complaint;
        if failed || news {
            self.metrics.reloaded(source, false);
        } else if changed {
            self.metrics.reloaded(source, true);
        }
        changed
    }

    fn publish(&mut self) {
        let policies = self.policies.policies();
        let namespaces = self
            .namespaces
            .as_ref()
            .map_or_else(Vec::new, |file| file.namespaces().to_vec());
        tracing::info!(policies = policies.len(), namespaces = namespaces.len(), "loaded");
        self.metrics.loaded(&policies);
        let snapshot = Snapshot::new(policies, namespaces, self.settings.clone());
        self.current.store(Arc::new(snapshot.keeping(Arc::<Kept>::default())));
    }

    /// Keeps the snapshot up to date from a thread of its own, for as long as the process lives. Whatever is sent to what is
    /// returned makes it look at all files at once.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn watch(mut self) -> Result<Sender<Told>> {
        let (sender, changes) = channel();
        let told = sender.clone();
        let handler = move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_change(&event)) {
                let _ = told.send(Told::Changed);
            }
        };
        let watcher = start_watcher(&self.directory, handler);
        let run = move || {
            // Dropping the watcher would end the watch.
            let _watcher = watcher;
            let mut unsettled = false;
            loop {
                let look = wait(&changes, unsettled);
                unsettled = self.refresh(look);
            }
        };
        std::thread::Builder::new()
            .name("policy-files".into())
            .spawn(run)
            .context("failed to start a thread")?;
        Ok(sender)
    }
}

fn start_watcher(
    directory: &Path,
    handler: impl FnMut(notify::Result<Event>) + Send + 'static,
) -> Option<notify::RecommendedWatcher> {
    let started = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    started
        .inspect_err(|error| {
            tracing::warn!(%error, "cannot watch the policies; looking every {} seconds instead", PERIOD.as_secs());
        })
        .ok()
}

/// Our own reading must not count.
fn is_change(event: &Event) -> bool {
    !matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// Waits until it is time to look, and says how closely: after a change, once a flurry of them has ended.
fn wait(changes: &Receiver<Told>, unsettled: bool) -> Look {
    let (period, otherwise) = if unsettled {
        (QUIET, Look::Contents)
    } else {
        (PERIOD, Look::Stamps)
    };
    let mut told = match changes.recv_timeout(period) {
        Ok(told) => told,
        Err(RecvTimeoutError::Timeout) => return otherwise,
        Err(RecvTimeoutError::Disconnected) => {
            std::thread::sleep(period);
            return otherwise;
        }
    };
    let latest = Instant::now() + PATIENCE;
    while told == Told::Changed && Instant::now() < latest {
        match changes.recv_timeout(QUIET) {
            Ok(next) => told = next,
            Err(_) => break,
        }
    }
    match told {
        Told::Changed => Look::Contents,
        Told::Asked => Look::Now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn policy(name: &str) -> String {
        format!(
            "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionPolicy\nmetadata: {{name: {name}}}\nspec: {{}}\n"
        )
    }

    fn served(current: &Current) -> Vec<String> {
        current
            .load()
            .policies()
            .iter()
            .map(|policy| policy.id().to_string())
            .collect()
    }

    fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !holds() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn open(policies: &Path) -> FileStore {
        let files = Files {
            policies: policies.into(),
            namespaces: None,
            images: Images::default(),
            settings: Settings::default(),
        };
        FileStore::open(files, Arc::default()).unwrap()
    }

    #[test]
    fn a_config_map_is_followed_through_its_symlink_swaps() {
        let directory = tempfile::tempdir().unwrap();
        let mount = |version: &str, text: &str| {
            fs::create_dir(directory.path().join(version)).unwrap();
            fs::write(directory.path().join(version).join("policy.yaml"), text).unwrap();
            symlink(version, directory.path().join("..data_tmp")).unwrap();
            fs::rename(directory.path().join("..data_tmp"), directory.path().join("..data")).unwrap();
        };
        mount("..1", &policy("first"));
        symlink("..data/policy.yaml", directory.path().join("policy.yaml")).unwrap();
        let store = open(directory.path());
        let current = store.current();
        assert_eq!(served(&current), ["first"]);
        store.watch().unwrap();
        for version in 2..6 {
            let name = format!("version-{version}");
            mount(&format!("..{version}"), &policy(&name));
            eventually("the swap is not seen", || served(&current) == [name.as_str()]);
        }
    }

    #[test]
    fn a_policy_that_is_written_in_pieces_is_served_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        let text = policy("a") + "---\n" + &policy("b");
        fs::write(&path, &text).unwrap();
        let store = open(directory.path());
        let current = store.current();
        let told = store.watch().unwrap();
        let text = text + "---\n" + &policy("c");
        for end in (0..text.len()).step_by(text.len() / 8) {
            fs::write(&path, &text[..end]).unwrap();
            std::thread::sleep(Duration::from_millis(400));
            assert_eq!(served(&current), ["a", "b"], "after {end} bytes");
        }
        fs::write(&path, &text).unwrap();
        told.send(Told::Asked).unwrap();
        eventually("the whole is not served", || served(&current) == ["a", "b", "c"]);
    }

    #[test]
    fn a_missing_directory_or_namespace_file_is_an_error_at_the_start_only() {
        let directory = tempfile::tempdir().unwrap();
        let namespaces = directory.path().join("namespaces.yaml");
        let files = |policies: &str, namespaces: Option<&Path>| Files {
            policies: directory.path().join(policies),
            namespaces: namespaces.map(Into::into),
            images: Images::default(),
            settings: Settings::default(),
        };
        assert!(FileStore::open(files("none", None), Arc::default()).is_err());
        assert!(FileStore::open(files("", Some(&namespaces)), Arc::default()).is_err());
        fs::create_dir(directory.path().join("policies")).unwrap();
        fs::write(directory.path().join("policies/a.yaml"), policy("a")).unwrap();
        fs::write(&namespaces, "{kind: Namespace, metadata: {name: a}}").unwrap();
        let metrics: Arc<Metrics> = Arc::default();
        let mut store = FileStore::open(files("policies", Some(&namespaces)), Arc::clone(&metrics)).unwrap();
        fs::remove_file(&namespaces).unwrap();
        fs::remove_dir_all(directory.path().join("policies")).unwrap();
        store.refresh(Look::Now);
        store.refresh(Look::Now);
        assert_eq!(served(&store.current()), ["a"]);
        for source in ["policies", "namespaces"] {
            let line = format!("outrigger_reloads_total{{source=\"{source}\",result=\"failed\"}} 1");
            assert!(metrics.text().contains(&line), "{}", metrics.text());
        }
    }
}
