//! `outrigger inject`: does to manifests what the webhook does to Pods.
use super::{UNUSABLE, images::ImageArgs, settings::SettingsArgs};
use crate::{
    manifest::Target,
    render::{
        Unusable, decide, diff,
        facts::{self, Given},
        input, output, policies,
        report::{self, Level},
    },
};
use anstyle::{AnsiColor, Style};
use clap::{Args, ColorChoice, ValueEnum};
use outrigger_engine::{Namespace, Snapshot};
use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

/// A Pod was refused. (2 is for what cannot be read.)
const REFUSED: u8 = 1;

/// Do to manifests what the webhook does to Pods
///
/// Reads manifests, adds to their Pods and Pod templates what the policies say, and writes them to standard output. What was
/// done, and why, is told on standard error.
///
/// Documents that do not change come out byte for byte. In a document that changes, comments are not kept, save those
/// before its first line; values, unknown fields and the order of fields are.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger inject -f deployment.yaml --policies policies
  outrigger inject -f deployment.yaml --policies policies -o diff
  kubectl kustomize overlays/production | outrigger inject -f - --policies policies | kubectl apply -f -
  outrigger inject -f manifests/ -R --policies policies --namespace shop --namespace-label team=web

Kinds: Pod, PodTemplate, Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job, CronJob, and Lists.
Policies and Namespaces that are among the manifests count too.
Exit codes: 0 done, 1 a Pod is refused, 2 wrong usage or unreadable input; with 1 and 2 nothing is on standard output.")]
pub struct InjectArgs {
    /// File or directory of manifests (YAML or JSON), or - for standard input; may be given several times
    #[arg(short = 'f', long, value_name = "FILE", required = true)]
    filename: Vec<PathBuf>,
    /// Look into the directories below as well
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Directory of policies (*.yaml, *.yml, *.json, also in directories below); may be given several times
    #[arg(long, value_name = "DIR")]
    policies: Vec<PathBuf>,
    /// What to write: documents as they came, as yaml or json; a JSON patch of each; or a diff
    #[arg(short = 'o', long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
    /// Namespace of documents that name none
    #[arg(short = 'n', long, value_name = "NAME", default_value = "default", value_parser = namespace)]
    namespace: String,
    /// Label that the namespaces of all documents have; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    namespace_label: Vec<(String, String)>,
    /// Annotation that the namespaces of all documents have; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    namespace_annotation: Vec<(String, String)>,
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Say nothing but warnings and errors
    #[arg(short = 'q', long)]
    quiet: bool,
    /// When to use colours; auto is on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

/// What `-o` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Every document as YAML
    Yaml,
    /// Every document as JSON, one after the other
    Json,
    /// A list of JSON patches (RFC 6902), one for each workload that changes
    Patch,
    /// What changes, as diff -u writes it
    Diff,
}

fn namespace(text: &str) -> Result<String, String> {
    match Namespace::can_be_named(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("a namespace's name has 1 to 63 of a-z, 0-9 and -, and begins and ends with a letter or digit".into())
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value".into()),
    }
}

pub(super) fn run(args: &InjectArgs) -> ExitCode {
    match args.render() {
        Ok(None) => ExitCode::from(REFUSED),
        Ok(Some(output)) => args.write(&output),
        Err(Unusable(messages)) => {
            for text in messages {
                args.say(Level::Error, &text);
            }
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Pieces of text, each with its colour.
type Output = Vec<(Style, String)>;

impl InjectArgs {
    /// What is to be written; `None` when a Pod is refused.
    fn render(&self) -> Result<Option<Output>, Unusable> {
        let sources = input::read(&self.filename, self.recursive)?;
        let documents = input::documents(&sources)?;
        let policies = policies::load(
            &self.policies,
            &self.images.images(),
            &sources,
            &documents,
            &self.namespace,
        )?;
        for complaint in &policies.complaints {
            self.say(Level::Warning, complaint);
        }
        if policies.compiled.is_empty() {
            return Err(Unusable(vec![self.no_policies()]));
        }
        let mut workloads = decide::workloads(&sources, &documents, &self.namespace)?;
        let names = workloads.iter().map(|workload| workload.namespace.as_str());
        let namespaces = facts::namespaces(names, &self.given(), &sources, &documents)?;
        let snapshot = Snapshot::new(policies.compiled, namespaces, self.settings.settings());
        decide::decide(&snapshot, &sources, &documents, &mut workloads)?;

        let lines = report::lines(&sources, &documents, &workloads);
        let refused = lines.iter().any(|line| line.level == Level::Error);
        let changed = output::changed(&documents, &workloads)?;
        let target = match self.output {
            Some(Format::Yaml) => Target::Yaml,
            _ => Target::Same,
        };
        let texts = match self.output {
            None | Some(Format::Yaml | Format::Diff) if !refused => {
                output::texts(&sources, &documents, &changed, target)?
            }
            _ => Vec::new(),
        };
        let mut stderr = io::BufWriter::new(io::stderr().lock());
        for line in lines.iter().chain([&report::summary(&documents, &workloads)]) {
            self.tell(&mut stderr, line.level, &line.text);
        }
        drop(stderr);
        if refused {
            return Ok(None);
        }
        let plain = |text| vec![(Style::new(), text)];
        Ok(Some(match self.output {
            None | Some(Format::Yaml) => plain(output::stream(&sources, &documents, &texts, target)),
            Some(Format::Json) => plain(output::json(&documents, &changed)),
            Some(Format::Patch) => plain(output::patches(&sources, &documents, &workloads)),
            Some(Format::Diff) => {
                let lines = diff::unified(&sources, &documents, &texts);
                lines.into_iter().map(|(kind, text)| (colour(kind), text)).collect()
            }
        }))
    }

    fn no_policies(&self) -> String {
        if self.policies.is_empty() {
            return "there are no policies: name a directory with --policies, or put them among the manifests".into();
        }
        let directories: Vec<_> = self.policies.iter().map(|path| path.display().to_string()).collect();
        format!(
            "there are no policies in {}, and none among the manifests",
            directories.join(", ")
        )
    }

    fn given(&self) -> Given {
        let map = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
        Given {
            labels: map(&self.namespace_label),
            annotations: map(&self.namespace_annotation),
        }
    }

    fn write(&self, output: &Output) -> ExitCode {
        let stdout = io::stdout();
        let coloured = self.coloured(stdout.is_terminal());
        let mut stdout = io::BufWriter::new(stdout.lock());
        let mut write = || {
            for (style, text) in output {
                paint(&mut stdout, coloured, *style, text)?;
            }
            stdout.flush()
        };
        match write() {
            Ok(()) => ExitCode::SUCCESS,
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                self.say(Level::Error, &format!("failed to write the output: {error}"));
                ExitCode::from(UNUSABLE)
            }
        }
    }

    fn say(&self, level: Level, text: &str) {
        self.tell(&mut io::stderr().lock(), level, text);
    }

    /// Says it, if it is to be said. That nobody listens is no error.
    fn tell(&self, stderr: &mut impl Write, level: Level, text: &str) {
        let (style, label) = match level {
            Level::Info if self.quiet => return,
            Level::Info => (Style::new(), ""),
            Level::Warning => (AnsiColor::Yellow.on_default().bold(), "warning: "),
            Level::Error => (AnsiColor::Red.on_default().bold(), "error: "),
        };
        let coloured = self.coloured(io::stderr().is_terminal());
        let text = report::one_line(text);
        let _ = paint(stderr, coloured, style, label).and_then(|()| writeln!(stderr, "{text}"));
    }

    fn coloured(&self, terminal: bool) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }
}

fn colour(line: diff::Line) -> Style {
    match line {
        diff::Line::Header => Style::new().bold(),
        diff::Line::Hunk => AnsiColor::Cyan.on_default(),
        diff::Line::Added => AnsiColor::Green.on_default(),
        diff::Line::Removed => AnsiColor::Red.on_default(),
        diff::Line::Same => Style::new(),
    }
}

fn paint(out: &mut impl Write, coloured: bool, style: Style, text: &str) -> io::Result<()> {
    if !coloured || style == Style::new() {
        return out.write_all(text.as_bytes());
    }
    // The end of the line is outside, so that a pager cuts well.
    let (line, end) = text.strip_suffix('\n').map_or((text, ""), |line| (line, "\n"));
    write!(out, "{style}{line}{style:#}{end}")
}
