//! What a program's documentation says of its options, as data in `options/`, and whether what is rendered keeps to it.
//!
//! For programs that the tests cannot have in the version of the policy's image.
use regex::Regex;
use serde_json::Value;
use std::path::Path;

/// A table of documented options: for each section the options, each with its rule.
pub struct Options {
    table: Value,
}

impl Options {
    pub fn read(program: &str) -> Options {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/programs/options/{program}.yaml"));
        let table = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        Options { table }
    }

    /// The image that the table is about.
    pub fn image(&self) -> &str {
        self.table["image"].as_str().unwrap()
    }

    /// What is wrong with arguments of the form `--name=value`.
    pub fn findings(&self, section: &str, arguments: impl IntoIterator<Item = String>) -> Vec<String> {
        let arguments = arguments.into_iter();
        let findings = arguments.filter_map(|argument| {
            let Some((name, value)) = argument.trim_start_matches("--").split_once('=') else {
                return Some(format!("{argument} has no value"));
            };
            self.finding(section, name, &Value::from(value))
        });
        findings.collect()
    }

    /// What is wrong with one option; nothing: `None`.
    pub fn finding(&self, section: &str, name: &str, value: &Value) -> Option<String> {
        let rule = &self.table[section][name];
        let Some(rule) = rule.as_str() else {
            return Some(format!("{section}: there is no option {name}"));
        };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pattern = match rule {
            "text" => "[^\\n]+",
            "boolean" => "true|false",
            "number" => "[0-9]+",
            "integer" => "-?[0-9]+",
            "duration" => "([0-9]+(ms|s|m|h))+",
            "size" => "[0-9]+[KMG]?",
            allowed => allowed,
        };
        let whole = Regex::new(&format!("^(?:{pattern})$")).unwrap();
        (!whole.is_match(&text)).then(|| format!("{section}: {name} is {text}, not {rule}"))
    }
}
