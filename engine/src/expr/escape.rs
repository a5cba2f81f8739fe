//! `$(` in values that Kubernetes expands.
//!
//! In `command`, `args`, `env` and `subPathExpr` the kubelet replaces `$(NAME)` by a variable's value and `$$` by `$`.
//! What an author of a policy writes is left as it is. What comes out of an expression must not be read as a reference,
//! also not together with the text beside it.

use std::ops::Range;

/// A string under construction that remembers what came out of expressions.
#[derive(Debug, Default)]
pub(super) struct Mixed {
    text: String,
    results: Vec<Range<usize>>,
}

impl Mixed {
    pub(super) fn push_literal(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn push_result(&mut self, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.results.push(start..self.text.len());
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The text as it is.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// The text, with dollar signs doubled where a result has a part in what the kubelet would otherwise replace.
    ///
    /// The unit is a run of dollar signs, because `$$` is itself an escape: escaping only the last sign of `$$(A)` would
    /// give `$$$(A)`, a dollar sign and a reference.
    pub(super) fn into_escaped(self) -> String {
        if !self.text.contains('$') {
            return self.text;
        }
        let mut escaped = String::with_capacity(self.text.len() + 8);
        let mut at = 0;
        while let Some(found) = self.text[at..].find('$') {
            let start = at + found;
            let length = self.text[start..].bytes().take_while(|byte| *byte == b'$').count();
            let end = start + length;
            escaped.push_str(&self.text[at..start]);
            escaped.extend(std::iter::repeat_n('$', self.escaped_length(start..end)));
            at = end;
        }
        escaped.push_str(&self.text[at..]);
        escaped
    }

    /// How many dollar signs stand for a run of them.
    fn escaped_length(&self, run: Range<usize>) -> usize {
        let from_results = run.clone().filter(|index| self.is_result(*index)).count();
        let literal = run.len() - from_results;
        let opens = self.text.as_bytes().get(run.end) == Some(&b'(');
        match (from_results, opens) {
            (0, true) if self.is_result(run.end) => literal + literal % 2,
            (0, _) => literal,
            (1, false) if literal == 0 => 1,
            _ => literal + literal % 2 + 2 * from_results,
        }
    }

    fn is_result(&self, index: usize) -> bool {
        self.results.iter().any(|range| range.contains(&index))
    }
}

/// A whole result.
pub(super) fn escape(result: &str) -> String {
    let mut mixed = Mixed::default();
    mixed.push_result(result);
    mixed.into_escaped()
}
