//! The commands of a document, each block with what it is said to print.
use outrigger_harness::Page;
use outrigger_harness::page::Block;

/// Commands, and lines that they print, among others.
#[derive(Debug)]
pub struct Step {
    pub commands: String,
    pub printed: Vec<String>,
}

/// The steps below a heading.
pub fn steps(path: &str, heading: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for Block { language, text } in Page::read(path).part(heading).fenced() {
        let printed = text.lines().map(|line| line.trim().to_owned()).collect();
        match (language.as_str(), steps.last_mut()) {
            ("sh", _) => steps.push(Step {
                commands: text,
                printed: Vec::new(),
            }),
            ("text", Some(step)) => step.printed = printed,
            _ => panic!("{path}: a block in {language} is not run by this test"),
        }
    }
    steps
}
