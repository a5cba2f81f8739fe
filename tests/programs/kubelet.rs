//! What kubelet does with a container, without a node: volumes, files from the downward API, variables, user, probe.
//!
//! There is no file system of its own for the container, so paths below a mount are replaced by where the volume is. It
//! does not know what is in the container.
use crate::machine::is_root;
use crate::pods::texts;
use outrigger_harness::keeper::{Kept, Program};
use serde_json::Value;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A container of a Pod, with its volumes made.
pub struct Container {
    spec: Value,
    directory: TempDir,
    /// Path in the container, and where it is.
    mounts: Vec<(String, PathBuf)>,
}

impl Container {
    /// Makes the volumes that the container mounts.
    pub fn prepare(pod: &Value, name: &str) -> Container {
        let directory = TempDir::new().unwrap();
        open(directory.path(), 0o755);
        let spec = crate::pods::container(pod, name).clone();
        let mounts = spec["volumeMounts"].as_array().into_iter().flatten();
        let mounts = mounts
            .map(|mount| {
                (
                    mount["mountPath"].as_str().unwrap().to_owned(),
                    volume(pod, mount, directory.path()),
                )
            })
            .collect();
        Container {
            spec,
            directory,
            mounts,
        }
    }

    /// The text with the container's paths replaced. A path begins after a separator and ends with a component.
    pub fn located(&self, text: &str) -> String {
        let (mut located, mut rest) = (String::new(), text);
        while let Some(next) = rest.chars().next() {
            let begins = located.is_empty() || located.ends_with(['=', ':', ' ']);
            let mount = self.mounts.iter().filter(|_| begins).find_map(|(path, place)| {
                let after = rest.strip_prefix(path.as_str())?;
                (after.is_empty() || after.starts_with(['/', ' '])).then_some((place, after))
            });
            match mount {
                Some((place, after)) => {
                    located += place.to_str().unwrap();
                    rest = after;
                }
                None => {
                    located.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
        located
    }

    /// Where a path of the container is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.located(path).into()
    }

    /// The arguments.
    pub fn arguments(&self) -> Vec<String> {
        // `$$(` is how Kubernetes writes `$(`.
        let text = |text: String| self.located(&text).replace("$$(", "$(");
        texts(&self.spec["args"]).into_iter().map(text).collect()
    }

    /// The variables that have a value of their own.
    pub fn environment(&self) -> Vec<(String, String)> {
        let variables = self.spec["env"].as_array().into_iter().flatten();
        variables
            .filter_map(|variable| {
                let value = self.located(variable["value"].as_str()?);
                Some((variable["name"].as_str().unwrap().to_owned(), value))
            })
            .collect()
    }

    /// Starts `program` as the container's; where the tests are root, as the user that the container names.
    pub fn start(&self, program: &Path) -> Kept {
        let mut line = self.line(program);
        line.extend(self.arguments());
        Program {
            path: Path::new("/usr/bin/env"),
            arguments: line,
            stdout: Stdio::null(),
            stderr: File::create(self.log_file()).unwrap().into(),
            scratch: None,
        }
        .start()
        .unwrap()
    }

    /// What it wrote to its standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Runs the startup probe once, with `program` for the one that it names.
    pub fn startup_probe(&self, program: &Path) -> Output {
        let command = texts(&self.spec["startupProbe"]["exec"]["command"]);
        let arguments: Vec<&str> = command[1..].iter().map(String::as_str).collect();
        self.run(program, "/", &arguments)
    }

    /// Runs a program in the container to its end, in a directory of the container.
    pub fn run(&self, program: &Path, directory: &str, arguments: &[&str]) -> Output {
        let mut line = self.line(program);
        line.extend(arguments.iter().map(|argument| self.located(argument)));
        let mut command = Command::new("/usr/bin/env");
        command.current_dir(self.path(directory)).args(line).output().unwrap()
    }

    /// The arguments of `env` that run a program with the container's variables and user.
    fn line(&self, program: &Path) -> Vec<String> {
        let mut line = vec!["-i".to_owned(), "PATH=/usr/local/bin:/usr/bin:/bin".to_owned()];
        line.extend(
            self.environment()
                .into_iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        if is_root() {
            let context = &self.spec["securityContext"];
            let user = context["runAsUser"].as_u64().unwrap();
            let group = context["runAsGroup"].as_u64().unwrap_or(0);
            line.extend([
                "setpriv".to_owned(),
                format!("--reuid={user}"),
                format!("--regid={group}"),
                "--clear-groups".to_owned(),
                "--no-new-privs".to_owned(),
                "--inh-caps=-all".to_owned(),
            ]);
        }
        line.push(program.display().to_string());
        line
    }
}

/// Makes the volume of a mount: an empty directory, or files from the Pod's annotations.
fn volume(pod: &Value, mount: &Value, directory: &Path) -> PathBuf {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let volume = volumes
        .into_iter()
        .find(|volume| volume["name"] == mount["name"])
        .unwrap();
    let place = directory.join(volume["name"].as_str().unwrap());
    fs::create_dir_all(&place).unwrap();
    open(&place, 0o777);
    for item in volume["downwardAPI"]["items"].as_array().into_iter().flatten() {
        let field = item["fieldRef"]["fieldPath"].as_str().unwrap();
        let key = field
            .strip_prefix("metadata.annotations['")
            .unwrap()
            .strip_suffix("']")
            .unwrap();
        let text = pod["metadata"]["annotations"][key].as_str().unwrap();
        let file = place.join(item["path"].as_str().unwrap());
        fs::write(&file, text).unwrap();
        open(&file, 0o644);
    }
    place
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
