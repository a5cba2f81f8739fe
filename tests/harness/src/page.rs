//! The documents of the project: what they show is what tests run.
use crate::rundir::workspace;

/// A document, or a part of one.
#[derive(Debug, Clone)]
pub struct Page {
    path: String,
    text: String,
}

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What stands behind the fence: `sh`, `yaml`, `text`.
    pub language: String,
    /// Its lines.
    pub text: String,
}

impl Page {
    /// Reads a document by its path from the root of the sources.
    ///
    /// # Panics
    /// When there is none.
    pub fn read(path: &str) -> Page {
        let text = std::fs::read_to_string(workspace().join(path));
        let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
        let path = path.to_owned();
        Page { path, text }
    }

    /// The part below a heading such as `## Install`, to the next one of its level or above.
    ///
    /// # Panics
    /// When there is none.
    pub fn part(&self, heading: &str) -> Page {
        let level = |line: &str| {
            line.split(' ')
                .next()
                .filter(|hashes| hashes.bytes().all(|byte| byte == b'#'))
                .map(str::len)
        };
        let ends = |line: &str| level(line).is_some_and(|above| above > 0 && Some(above) <= level(heading));
        let mut lines = self.text.lines().skip_while(|line| *line != heading);
        assert!(lines.next().is_some(), "{}: there is no {heading}", self.path);
        let mut fenced = false;
        let lines = lines.take_while(|line| {
            fenced ^= line.starts_with("```");
            fenced || !ends(line)
        });
        Page {
            path: format!("{} {heading}", self.path),
            text: lines.collect::<Vec<_>>().join("\n"),
        }
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its fenced blocks, in their order.
    pub fn fenced(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(language)) => {
                    let language = language.to_owned();
                    open = Some(Block {
                        language,
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.text += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        blocks
    }

    /// The blocks in this language.
    pub fn blocks(&self, language: &str) -> Vec<String> {
        let of_language = self.fenced().into_iter().filter(|block| block.language == language);
        of_language.map(|block| block.text).collect()
    }

    /// The first block in this language that holds `part`.
    ///
    /// # Panics
    /// When there is none.
    pub fn block(&self, language: &str, part: &str) -> String {
        let mut blocks = self.blocks(language).into_iter();
        let found = blocks.find(|block| block.contains(part));
        found.unwrap_or_else(|| panic!("{}: no block in {language} holds {part}", self.path))
    }

    /// The cells of the rows of the table with this heading.
    ///
    /// # Panics
    /// When there is none.
    pub fn table(&self, heading: &str) -> Vec<Vec<String>> {
        let mut lines = self.text.lines().skip_while(|line| *line != heading);
        assert!(lines.next().is_some(), "{}: there is no table {heading}", self.path);
        let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
        rows.map(cells).collect()
    }

    /// The first line that begins so.
    ///
    /// # Panics
    /// When there is none.
    pub fn line(&self, start: &str) -> &str {
        let found = self.text.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("{}: no line begins with {start}", self.path))
    }

    /// Its path from the root of the sources.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// A bar in a cell stands behind a backslash.
fn cells(line: &str) -> Vec<String> {
    let line = line.replace("\\|", "\u{1}");
    let cells = line.trim_matches('|').split('|');
    cells.map(|cell| cell.trim().replace('\u{1}', "|")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_apart_by_language_and_by_the_heading_above() {
        let text = "# A\n```sh\n# no heading\n## nor this\nls\n```\n### Below\n```yaml\na: b\n```\n## B\n```sh\ncat\n```\n| a | b |\n|---|---|\n| 1 | `x\\|y` |\nend";
        let page = Page {
            path: "a page".into(),
            text: text.into(),
        };
        assert_eq!(page.blocks("sh"), ["# no heading\n## nor this\nls\n", "cat\n"]);
        assert_eq!(page.part("# A").blocks("sh").len(), 2);
        assert_eq!(page.part("### Below").fenced().len(), 1);
        assert_eq!(page.part("## B").block("sh", "at"), "cat\n");
        assert_eq!(page.table("| a | b |"), [["1", "`x|y`"]]);
    }
}
