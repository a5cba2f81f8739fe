//! The Dockerfile, read: what can be wrong in it without building anything is checked. What is built of it is in [`built`](crate::built).
use crate::pods::policy;
use outrigger_harness::rundir::workspace;
use parse_dockerfile::{Command, Instruction, Source};
use std::fs;
use std::path::{Path, PathBuf};

/// The file, by stages.
pub struct Dockerfile {
    stages: Vec<Stage>,
}

/// An image, or what is built on the way to one.
pub struct Stage {
    name: String,
    /// The image, or the stage, that it begins with, with arguments put in.
    base: String,
    /// `RUN`, in shell form.
    runs: Vec<String>,
    copies: Vec<Copied>,
    labels: String,
    pub user: Option<String>,
    pub entrypoint: Vec<String>,
    pub stop_signal: Option<String>,
}

/// A command by which Cargo builds a program for an image.
pub struct Build<'a> {
    pub words: Vec<&'a str>,
    /// What it builds, and the name of the program.
    pub package: &'a str,
}

impl<'a> Build<'a> {
    fn new(words: Vec<&'a str>) -> Build<'a> {
        let named = words.windows(2).find(|pair| pair[0] == "--package");
        let package = named.expect("a package is named")[1];
        Build { words, package }
    }

    fn is_guided(&self) -> bool {
        self.words.first() == Some(&"benches/guided.sh")
    }
}

struct Copied {
    /// A stage; none: the sources.
    from: Option<String>,
    sources: Vec<String>,
    to: String,
}

impl Dockerfile {
    pub fn read() -> Dockerfile {
        let text = fs::read_to_string(workspace().join("Dockerfile")).unwrap();
        let parsed = parse_dockerfile::parse(&text).unwrap();
        let arguments: Vec<(String, String)> = parsed
            .global_args()
            .filter_map(|argument| argument.arguments.value.split_once('='))
            .map(|(name, value)| (format!("${{{name}}}"), value.to_owned()))
            .collect();
        let stages = parsed.stages().map(|stage| {
            let base = stage.from.image.value.to_string();
            let base = arguments
                .iter()
                .fold(base, |base, (name, value)| base.replace(name, value));
            let name = stage
                .from
                .as_
                .as_ref()
                .expect("every stage has a name")
                .1
                .value
                .to_string();
            let empty = Stage {
                name,
                base,
                runs: vec![],
                copies: vec![],
                labels: String::new(),
                user: None,
                entrypoint: vec![],
                stop_signal: None,
            };
            stage.instructions.iter().fold(empty, Stage::with)
        });
        Dockerfile {
            stages: stages.collect(),
        }
    }

    pub fn stage(&self, name: &str) -> &Stage {
        let found = self.stages.iter().find(|stage| stage.name == name);
        found.unwrap_or_else(|| panic!("the Dockerfile has no stage {name}"))
    }
}

impl Stage {
    fn with(mut self, instruction: &Instruction<'_>) -> Stage {
        match instruction {
            Instruction::Run(run) => match &run.arguments {
                Command::Shell(line) => self.runs.push(line.value.to_owned()),
                _ => panic!("a RUN in exec form"),
            },
            Instruction::Copy(copy) => self.copies.push(Copied {
                from: copy
                    .options
                    .iter()
                    .find(|option| option.name.value == "from")
                    .and_then(|option| Some(option.value.as_ref()?.value.to_string())),
                sources: copy.src.iter().map(path).collect(),
                to: copy.dest.value.to_string(),
            }),
            Instruction::Label(label) => self.labels += &label.arguments.value,
            Instruction::User(user) => self.user = Some(user.arguments.value.to_string()),
            Instruction::Stopsignal(signal) => self.stop_signal = Some(signal.arguments.value.to_string()),
            Instruction::Entrypoint(entrypoint) => match &entrypoint.arguments {
                Command::Exec(words) => {
                    self.entrypoint = words.value.iter().map(|word| word.value.to_string()).collect()
                }
                _ => panic!("an ENTRYPOINT in shell form would start a shell"),
            },
            _ => {}
        }
        self
    }

    /// Where its `COPY`s put files.
    fn files(&self) -> impl Iterator<Item = &str> {
        self.copies.iter().map(|copied| copied.to.as_str())
    }

    /// The commands by which Cargo builds its programs.
    pub fn builds(&self) -> Vec<Build<'_>> {
        let builds = self.commands().filter(|words| words.contains(&"build"));
        builds.map(Build::new).collect()
    }

    /// The Debian packages that it installs.
    fn packages(&self) -> Vec<&str> {
        let installs = self.commands().filter_map(|words| {
            let at = words.windows(2).position(|pair| pair == ["apt-get", "install"])?;
            Some(words[at + 2..].to_vec())
        });
        installs.flatten().filter(|word| !word.starts_with('-')).collect()
    }

    /// Each command that it runs, by words.
    fn commands(&self) -> impl Iterator<Item = Vec<&str>> {
        let commands = self.runs.iter().flat_map(|run| run.split("&&"));
        commands.map(|command| {
            let words = command.split_whitespace();
            words
                .filter(|word| *word != "\\" && !word.starts_with("--mount="))
                .collect()
        })
    }
}

fn path(source: &Source<'_>) -> String {
    match source {
        Source::Path(path) => path.value.to_string(),
        _ => panic!("a COPY of a here-document"),
    }
}

/// Paths of the sources that `.dockerignore` lets through: all are left out, save for those after a `!`.
fn context() -> Vec<PathBuf> {
    let text = fs::read_to_string(workspace().join(".dockerignore")).unwrap();
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), ".dockerignore lists what is let through");
    lines.map(|line| line.strip_prefix('!').expect(line).into()).collect()
}

#[test]
fn the_images_are_started_as_an_unprivileged_user_and_say_what_they_are() {
    let file = Dockerfile::read();
    for name in ["outrigger", "runtime", "twemproxy"] {
        let stage = file.stage(name);
        // A number, as kubelet cannot tell from a name whether it is root's.
        let (user, group) = stage.user.as_ref().unwrap().split_once(':').unwrap();
        assert!(
            user.parse::<u32>().unwrap() > 0 && group.parse::<u32>().unwrap() > 0,
            "{name}"
        );
        for label in ["title", "description", "licenses"] {
            assert!(
                stage.labels.contains(&format!("org.opencontainers.image.{label}=\"")),
                "{name}: {label}"
            );
        }
        let program = &stage.entrypoint[0];
        let installed = stage
            .packages()
            .iter()
            .any(|package| program == &format!("/usr/sbin/{package}"));
        assert!(
            installed || stage.files().any(|file| file == program),
            "{name}: nothing puts {program} there"
        );
    }
}

#[test]
fn what_the_stages_begin_with_is_pinned_and_fits_the_sources() {
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let minimum = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap()
        .trim_matches('"');
    for stage in Dockerfile::read().stages {
        if stage.base == "scratch" {
            assert_eq!(stage.runs.len(), 0, "{}", stage.name);
            continue;
        }
        let (image, tag) = stage
            .base
            .split_once(':')
            .unwrap_or_else(|| panic!("{} has no tag", stage.base));
        let numbers = tag.split('-').next().unwrap().split('.');
        let numbers: Vec<u32> = numbers.map(|number| number.parse().unwrap()).collect();
        assert!(numbers.len() >= 2, "{}", stage.base);
        if image == "rust" {
            assert!(
                tag.starts_with(&format!("{minimum}-")),
                "{tag}, but rust-version is {minimum}"
            );
        }
    }
}

#[test]
fn the_programs_are_optimised_and_the_webhook_is_guided_by_a_profile() {
    let file = Dockerfile::read();
    let builds = file.stage("build").builds();
    let guided = builds.iter().filter(|build| build.is_guided());
    assert_eq!(guided.map(|build| build.package).collect::<Vec<_>>(), ["outrigger"]);
    assert_eq!(builds.len(), 2);
    for build in &builds {
        assert!(build.words.windows(2).any(|pair| pair == ["--profile", "dist"]));
    }
}

#[test]
fn what_is_copied_is_in_the_sources_or_built_before() {
    let file = Dockerfile::read();
    let context = context();
    let mut earlier: Vec<&Stage> = Vec::new();
    for stage in &file.stages {
        for copied in &stage.copies {
            for source in &copied.sources {
                match &copied.from {
                    None if source == "." => {}
                    None => {
                        let listed = context.iter().any(|path| Path::new(source).starts_with(path));
                        assert!(listed && workspace().join(source).exists(), "{}: {source}", stage.name);
                    }
                    Some(from) => {
                        let built = earlier
                            .iter()
                            .find(|earlier| earlier.name == *from)
                            .unwrap_or_else(|| panic!("{from}"));
                        let program = source.strip_prefix("/out/").unwrap();
                        let build = built.builds().into_iter().find(|build| build.package == program);
                        // What is built twice is for a target that is named.
                        let file = match build.expect(program).is_guided() {
                            true => format!("\"target/$(rustc --print host-tuple)/dist/{program}\""),
                            false => format!("target/dist/{program}"),
                        };
                        let run = built.runs.iter().find_map(|run| run.split_once("cp ")).unwrap().1;
                        assert!(run.contains(&file) && run.ends_with(" /out"), "{file} in {run}");
                    }
                }
            }
        }
        earlier.push(stage);
    }
}

#[test]
fn cargo_finds_all_it_needs_in_what_the_builder_is_sent() {
    let sources = tempfile::TempDir::new().unwrap();
    for path in context() {
        let (from, to) = (workspace().join(&path), sources.path().join(&path));
        assert!(
            from.exists(),
            ".dockerignore lets {} through, which is not there",
            path.display()
        );
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .args([&from, &to])
            .status()
            .unwrap();
        assert!(copied.success());
    }
    let output = outrigger_harness::cargo::cargo()
        .args(["metadata", "--locked", "--no-deps", "--format-version", "1"])
        .current_dir(&sources)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_packages_in_the_images_are_those_that_the_tests_install() {
    let makefile = fs::read_to_string(workspace().join("Makefile")).unwrap();
    let listed = makefile
        .lines()
        .find_map(|line| line.strip_prefix("PACKAGES := "))
        .unwrap();
    let listed: Vec<&str> = listed.split_whitespace().collect();
    let installed: Vec<String> = Dockerfile::read()
        .stages
        .iter()
        .flat_map(|stage| stage.packages())
        .map(str::to_owned)
        .collect();
    assert_eq!(installed, ["nutcracker"]);
    assert!(
        installed.iter().all(|package| listed.contains(&package.as_str())),
        "{listed:?}"
    );
}

#[test]
fn the_images_are_built_with_the_cargo_auditable_that_the_tests_have() {
    let makefile = fs::read_to_string(workspace().join("Makefile")).unwrap();
    let version = makefile.lines().find_map(|line| line.strip_prefix("AUDITABLE := "));
    let installed = format!("cargo-auditable@{}", version.unwrap());
    let file = Dockerfile::read();
    let mut words = file.stage("build").runs.iter().flat_map(|run| run.split_whitespace());
    assert!(words.any(|word| word == installed), "{installed}");
}

#[test]
fn the_policies_images_are_stages_with_the_version_of_the_sources() {
    for (policy, stage) in [
        ("memcached", "twemproxy"),
        ("leader-elector", "runtime"),
        ("scatter-gather", "runtime"),
        ("work-queue", "runtime"),
    ] {
        the_image_is_the_stage(policy, stage);
    }
}

fn the_image_is_the_stage(name: &str, stage: &str) {
    let container = &policy(name)["spec"]["ambassadors"][0]["container"];
    let expected = format!("outrigger/{stage}:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(container["image"], expected.as_str());
    let text = fs::read_to_string(workspace().join("Dockerfile")).unwrap();
    let command = text.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words == ["#", "docker", "build", "--target", stage, "--tag", &expected, "."]
    });
    assert!(command, "the Dockerfile does not say how {expected} is built");
    let file = Dockerfile::read();
    let stage = file.stage(stage);
    // The policy gives arguments, so the program is the image's; and the probe is in it.
    assert!(container["command"].is_null());
    let probe = container["startupProbe"]["exec"]["command"][0].as_str().unwrap();
    assert!(stage.files().any(|file| file == probe), "{probe}");
    let user = stage.user.as_ref().unwrap().split_once(':').unwrap();
    let context = &container["securityContext"];
    assert_eq!(
        (context["runAsUser"].to_string(), context["runAsGroup"].to_string()),
        (user.0.to_owned(), user.1.to_owned())
    );
}
