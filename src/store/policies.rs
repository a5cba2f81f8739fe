//! Policies in the files below a directory, each compiled when its file changes and only then.
//!
//! A file that cannot be read keeps the policies last read from it, a policy that broke serves on from its last good
//! version, and each is said once.
use super::{
    documents::{self, Look, Stamp},
    listing::Listing,
};
use crate::regular_file;
use anyhow::{Context, Result};
use outrigger_engine::policy::{API_VERSION, CLUSTER_KIND, NAMESPACED_KIND};
use outrigger_engine::{CompiledPolicy, Images, PolicyId};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The policies of a directory.
#[derive(Debug)]
pub struct PolicyFiles {
    root: PathBuf,
    images: Images,
    files: BTreeMap<PathBuf, PolicyFile>,
    complaint: Option<String>,
    twice: HashSet<String>,
    served: HashMap<PolicyId, Arc<CompiledPolicy>>,
}

#[derive(Debug, Default)]
struct PolicyFile {
    stamp: Option<Stamp>,
    digest: Option<u64>,
    policies: Vec<Arc<CompiledPolicy>>,
    complaint: Option<String>,
}

/// What a look at the files brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// There is something to serve that was not there before, or the reverse.
    pub changed: bool,
    /// There is something new that is wrong.
    pub failed: bool,
    /// There is a changed file that may not be whole yet.
    pub unsettled: bool,
}

impl PolicyFiles {
    /// The policies below `root`; nothing is read yet.
    pub fn new(root: PathBuf) -> Self {
        let (files, served) = (BTreeMap::new(), HashMap::new());
        PolicyFiles {
            root,
            images: Images::default(),
            files,
            complaint: None,
            twice: HashSet::new(),
            served,
        }
    }

    /// With these images instead of those that the policies name.
    pub fn with(self, images: Images) -> Self {
        PolicyFiles { images, ..self }
    }

    /// Looks at the files again.
    ///
    /// # Errors
    /// When the directory itself cannot be read; what was read before stays.
    pub fn look(&mut self, look: Look) -> Result<Found> {
        let listing = Listing::of(&self.root).with_context(|| format!("failed to read {}", self.root.display()))?;
        let mut found = self.complain_of_directories(&listing);
        let before = self.files.len();
        self.files.retain(|path, _| listing.covers(path));
        found.changed |= before != self.files.len();
        for path in listing.files {
            let file = self.files.entry(path.clone()).or_default();
            let seen = file.look(&path, look, &self.images, &self.served);
            found.changed |= seen.changed;
            found.failed |= seen.failed;
            found.unsettled |= seen.unsettled;
        }
        Ok(found)
    }

    /// All policies, each name once: the first by path wins.
    pub fn policies(&mut self) -> Vec<Arc<CompiledPolicy>> {
        let mut origins: HashMap<&PolicyId, &Path> = HashMap::new();
        let mut policies = Vec::new();
        let mut twice = HashSet::new();
        for (path, file) in &self.files {
            for policy in &file.policies {
                match origins.get(policy.id()) {
                    None => {
                        origins.insert(policy.id(), path);
                        policies.push(Arc::clone(policy));
                    }
                    Some(first) => {
                        let (id, first, second) = (policy.id(), first.display(), path.display());
                        twice.insert(format!(
                            "policy \"{id}\" is in {first} and again in {second}; the first is served, rename one"
                        ));
                    }
                }
            }
        }
        twice
            .difference(&self.twice)
            .for_each(|complaint| tracing::error!("{complaint}"));
        self.twice = twice;
        self.served = policies
            .iter()
            .map(|policy| (policy.id().clone(), Arc::clone(policy)))
            .collect();
        policies
    }

    fn complain_of_directories(&mut self, listing: &Listing) -> Found {
        let complaint = listing
            .unreadable
            .first()
            .map(|(path, error)| format!("failed to read {}: {error}", path.display()));
        let failed = complaint.is_some() && complaint != self.complaint;
        if let (true, Some(complaint)) = (failed, &complaint) {
            tracing::error!("{complaint}; keeping what was read there before");
        }
        self.complaint = complaint;
        Found {
            failed,
            ..Found::default()
        }
    }
}

impl PolicyFile {
    fn look(
        &mut self,
        path: &Path,
        look: Look,
        images: &Images,
        served: &HashMap<PolicyId, Arc<CompiledPolicy>>,
    ) -> Found {
        // The stamp is taken before the contents, so that a change between the two is seen at the next look.
        let stamp = Stamp::of(path).ok();
        if look == Look::Stamps && stamp.is_some() && stamp == self.stamp {
            return Found::default();
        }
        if look != Look::Now && stamp != self.stamp && stamp.as_ref().is_some_and(Stamp::is_fresh) {
            return Found {
                unsettled: true,
                ..Found::default()
            };
        }
        let contents = match regular_file::read(path, documents::LARGEST) {
            Ok(contents) => contents,
            Err(error) => return self.complain(format!("failed to read {}: {error}", path.display())),
        };
        self.stamp = stamp;
        let digest = Some(digest(&contents));
        if digest == self.digest {
            return Found::default();
        }
        self.digest = digest;
        match documents::parse(&contents) {
            // Emptying a file is the first half of writing it anew.
            Ok(documents) if documents.is_empty() && !self.policies.is_empty() => {
                self.complain(format!("{} is empty; delete it to remove its policies", path.display()))
            }
            Ok(mut documents) => {
                documents
                    .iter_mut()
                    .for_each(|document| drop(images.put_into(document)));
                self.take(path, &documents, served)
            }
            Err(error) => self.complain(format!("failed to read {}: {error}", path.display())),
        }
    }

    fn take(&mut self, path: &Path, documents: &[Value], served: &HashMap<PolicyId, Arc<CompiledPolicy>>) -> Found {
        let mut policies = Vec::new();
        let mut complaint = None;
        for document in documents.iter().filter(|document| is_policy(path, document)) {
            match outrigger_engine::compile(document) {
                Ok(policy) => policies.push(policy),
                Err(error) => complaint = Some(format!("failed to read a policy in {}: {error}", path.display())),
            }
        }
        let mut failed = false;
        if let Some(complaint) = complaint {
            failed = self.complain(complaint).failed;
            if !self.policies.is_empty() {
                return Found {
                    failed,
                    ..Found::default()
                };
            }
        } else {
            self.complaint = None;
        }
        failed |= policies.iter().any(|policy| !policy.errors().is_empty());
        let serve = |policy: CompiledPolicy| {
            let previous = served.get(policy.id()).map(AsRef::as_ref);
            report(path, &policy, previous.is_some());
            Arc::new(policy.or_last_good(previous))
        };
        self.policies = policies.into_iter().map(serve).collect();
        Found {
            changed: true,
            failed,
            unsettled: false,
        }
    }

    fn complain(&mut self, complaint: String) -> Found {
        let failed = self.complaint.as_ref() != Some(&complaint);
        if failed {
            let kept = self.policies.len();
            tracing::error!(kept, "{complaint}; keeping the policies last read from it");
            self.complaint = Some(complaint);
        }
        Found {
            failed,
            ..Found::default()
        }
    }
}

fn report(path: &Path, policy: &CompiledPolicy, served_before: bool) {
    let file = path.display();
    for error in policy.errors() {
        tracing::error!(%file, served_before, "{error}");
    }
    for warning in policy.warnings() {
        tracing::warn!(%file, "{warning}");
    }
}

fn digest(contents: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    contents.hash(&mut hasher);
    hasher.finish()
}

/// Whether a document is a policy. One that looks as if it were meant to be is worth a warning.
fn is_policy(path: &Path, document: &Value) -> bool {
    if let Likeness::Almost(message) = likeness(document) {
        tracing::warn!(file = %path.display(), "ignored a document: {message}");
    }
    likeness(document) == Likeness::Policy
}

/// How like a policy a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Likeness {
    /// It is one.
    Policy,
    /// It seems to be meant as one; what to write.
    Almost(String),
    /// It is something else.
    Other,
}

/// How like a policy `document` is.
pub fn likeness(document: &Value) -> Likeness {
    let field = |name| document.get(name).and_then(Value::as_str).unwrap_or("");
    let (api_version, kind) = (field("apiVersion"), field("kind"));
    let known = matches!(kind, CLUSTER_KIND | NAMESPACED_KIND);
    if known && api_version == API_VERSION {
        return Likeness::Policy;
    }
    let ours = api_version == "outrigger.dev" || api_version.starts_with("outrigger.dev/");
    if ours || known || kind.to_ascii_lowercase().contains("injectionpol") {
        return Likeness::Almost(format!(
            "it has apiVersion {api_version:?} and kind {kind:?}; a policy has apiVersion {API_VERSION} and kind {CLUSTER_KIND} or {NAMESPACED_KIND}"
        ));
    }
    Likeness::Other
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs};

    fn policy(name: &str, description: &str) -> String {
        format!(
            "apiVersion: {API_VERSION}\nkind: ClusterInjectionPolicy\nmetadata: {{name: {name}}}\nspec: {{description: {description}}}\n"
        )
    }

    fn names(files: &mut PolicyFiles) -> Vec<String> {
        files.policies().iter().map(|policy| policy.id().to_string()).collect()
    }

    fn write(directory: &Path, name: &str, text: &str) {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn policies_are_found_in_nested_files_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "b/policy.yaml", &policy("b", "x"));
        write(directory.path(), "b/test.yaml", &policy("not-this", "x"));
        write(directory.path(), "b/README.md", &policy("nor-this", "x"));
        write(directory.path(), "..2026/policy.yaml", &policy("nor-that", "x"));
        write(
            directory.path(),
            "a.yml",
            &format!("kind: Pod\napiVersion: v1\n---\n{}", policy("a", "x")),
        );
        let json = r#"{"kind":"List","apiVersion":"v1","items":[{"apiVersion":"outrigger.dev/v1alpha1","kind":"ClusterInjectionPolicy","metadata":{"name":"c"},"spec":{}}]}"#;
        write(directory.path(), "deep/er/c.json", json);
        let mut files = PolicyFiles::new(directory.path().into());
        assert_eq!(
            files.look(Look::Now).unwrap(),
            Found {
                changed: true,
                ..Found::default()
            }
        );
        assert_eq!(names(&mut files), ["a", "b", "c"]);
        assert_eq!(files.look(Look::Stamps).unwrap(), Found::default());
        assert_eq!(files.look(Look::Now).unwrap(), Found::default());
    }

    #[test]
    fn a_file_that_cannot_be_read_keeps_its_policies_and_a_deleted_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "a.yaml", &policy("a", "x"));
        write(directory.path(), "b.yaml", &policy("b", "x"));
        let mut files = PolicyFiles::new(directory.path().into());
        files.look(Look::Now).unwrap();
        write(directory.path(), "a.yaml", "a: [1\n");
        fs::remove_file(directory.path().join("b.yaml")).unwrap();
        assert_eq!(
            files.look(Look::Now).unwrap(),
            Found {
                changed: true,
                failed: true,
                unsettled: false
            }
        );
        assert_eq!(names(&mut files), ["a"]);
        // Said once.
        assert_eq!(files.look(Look::Now).unwrap(), Found::default());
        write(
            directory.path(),
            "a.yaml",
            &format!(
                "{}---\n{}",
                policy("a", "x"),
                "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionPolicy\n"
            ),
        );
        assert_eq!(
            files.look(Look::Now).unwrap(),
            Found {
                failed: true,
                ..Found::default()
            }
        );
        assert_eq!(names(&mut files), ["a"]);
        write(directory.path(), "a.yaml", &policy("renamed", "x"));
        assert_eq!(
            files.look(Look::Now).unwrap(),
            Found {
                changed: true,
                ..Found::default()
            }
        );
        assert_eq!(names(&mut files), ["renamed"]);
        fs::remove_dir_all(directory.path()).unwrap();
        assert!(files.look(Look::Now).is_err());
        assert_eq!(names(&mut files), ["renamed"]);
    }

    #[test]
    fn of_two_policies_with_one_name_the_first_by_path_is_served() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "z.yaml", &policy("a", "second"));
        write(directory.path(), "a.yaml", &policy("a", "first"));
        let mut files = PolicyFiles::new(directory.path().into());
        files.look(Look::Now).unwrap();
        assert_eq!(names(&mut files), ["a"]);
        let complaint = files.twice.iter().next().unwrap();
        assert!(complaint.find("a.yaml") < complaint.find("z.yaml"), "{complaint}");
    }

    #[test]
    fn symlink_loops_and_second_names_lead_to_no_file_twice() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        write(directory.path(), "b/policy.yaml", &policy("b", "x"));
        for (target, link) in [
            (".", "a"),
            ("..", "b/up"),
            ("../b", "b/same"),
            ("b", "c"),
            ("b/policy.yaml", "z.yaml"),
            ("self.yaml", "self.yaml"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        let listing = Listing::of(directory.path()).unwrap();
        assert_eq!(listing.files, BTreeSet::from([at("self.yaml"), at("z.yaml")]));
        assert!(listing.unreadable.is_empty());
        let mut files = PolicyFiles::new(directory.path().into());
        assert!(files.look(Look::Now).unwrap().failed, "self.yaml leads nowhere");
        assert_eq!(names(&mut files), ["b"]);
        assert!(files.twice.is_empty());
    }

    #[test]
    fn a_fifo_is_an_error_and_holds_nothing_up() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "b.yaml", &policy("b", "x"));
        let fifo = directory.path().join("a.yaml");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .unwrap()
                .success()
        );
        let mut files = PolicyFiles::new(directory.path().into());
        assert!(files.look(Look::Now).unwrap().failed);
        assert_eq!(names(&mut files), ["b"]);
        assert!(
            files.files[&fifo]
                .complaint
                .as_ref()
                .unwrap()
                .contains("not a regular file")
        );
    }

    #[test]
    fn an_emptied_file_keeps_its_policies_until_it_is_deleted() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "a.yaml", &policy("a", "x"));
        let mut files = PolicyFiles::new(directory.path().into());
        files.look(Look::Now).unwrap();
        assert_eq!(names(&mut files), ["a"]);
        for empty in ["", "# nothing\n---\n", "---\n---\n"] {
            write(directory.path(), "a.yaml", empty);
            assert!(!files.look(Look::Now).unwrap().changed);
            assert_eq!(names(&mut files), ["a"]);
        }
        let file = files.files.values().next().unwrap();
        assert!(file.complaint.as_ref().unwrap().contains("delete it"), "{file:?}");
        // The last good version is there for one that comes back broken.
        write(directory.path(), "a.yaml", &policy("a", "[x]"));
        files.look(Look::Now).unwrap();
        assert_eq!(names(&mut files), ["a"]);
        assert!(files.served.keys().any(|id| id.to_string() == "a"));
        fs::remove_file(directory.path().join("a.yaml")).unwrap();
        assert!(files.look(Look::Now).unwrap().changed);
        assert!(names(&mut files).is_empty());
    }

    #[test]
    fn a_file_that_was_just_written_is_left_until_it_is_settled() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "a.yaml", &policy("a", "x"));
        let mut files = PolicyFiles::new(directory.path().into());
        files.look(Look::Now).unwrap();
        let half = "apiVersion: outrigger.dev/v1alpha1\n";
        write(directory.path(), "a.yaml", half);
        for look in [Look::Stamps, Look::Contents] {
            let found = files.look(look).unwrap();
            assert!(found.unsettled && !found.changed, "{look:?}: {found:?}");
        }
        assert_eq!(names(&mut files), ["a"]);
        write(directory.path(), "a.yaml", &policy("whole", "x"));
        let written = fs::File::options().append(true).open(directory.path().join("a.yaml"));
        let earlier = std::time::SystemTime::now() - 2 * documents::SETTLED;
        written.unwrap().set_modified(earlier).unwrap();
        assert!(files.look(Look::Stamps).unwrap().changed);
        assert_eq!(names(&mut files), ["whole"]);
    }
}
