//! Which images helpers have, where policies come from files: the same flags for every command that reads them.
use clap::Args;
use outrigger_engine::Images;

/// Other images than policies name. In a cluster, policies have been given theirs before, by the chart's values.
#[derive(Debug, Args)]
pub(super) struct ImageArgs {
    /// Registry to put before the images of Outrigger's own in policies (outrigger/...), e.g. registry.example.com/mirror
    #[arg(long, value_name = "REGISTRY", value_parser = registry)]
    image_registry: Option<String>,
    /// Tag of the images of Outrigger's own, instead of the one that policies name
    #[arg(long, value_name = "TAG", value_parser = tag)]
    image_tag: Option<String>,
    /// Other image for one that policies name, e.g. fluent/fluent-bit:4.0=registry.example.com/fluent-bit:4.0; may be given several times
    #[arg(long, value_name = "IMAGE=OTHER", value_parser = pair)]
    image: Vec<(String, String)>,
}

impl ImageArgs {
    pub(super) fn images(&self) -> Images {
        Images {
            registry: self.image_registry.clone(),
            tag: self.image_tag.clone(),
            others: self.image.iter().cloned().collect(),
        }
    }

    /// Whether there are any.
    pub(super) fn are_given(&self) -> bool {
        self.images() != Images::default()
    }
}

/// Without the slash at its end.
fn registry(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('/').unwrap_or(text);
    let parts = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
    match name.split('/').all(parts) {
        true => Ok(name.to_owned()),
        false => Err(
            "write a registry, with a path or without and with no https:// before it, as registry.example.com/mirror"
                .into(),
        ),
    }
}

fn tag(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let good = (1..=128).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with(['.', '-']);
    match good {
        true => Ok(text.to_owned()),
        false => {
            Err("a tag has 1 to 128 letters, digits, '_', '.' and '-', and does not begin with the last two".into())
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let image = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=');
    match text.split_once('=') {
        Some((from, to)) if image(from) && image(to) => Ok((from.to_owned(), to.to_owned())),
        _ => Err("write the image as policies name it, =, and the other one, as a/b:1=registry.example.com/b:1".into()),
    }
}
