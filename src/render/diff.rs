//! The difference between input and output, as `diff -u` writes it. Only documents that change are compared, so its cost does
//! not grow with the square of the input.
use std::{
    ops::Range,
    time::{Duration, Instant},
};

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices_deadline, group_diff_ops};

use super::{
    input::{Document, Source},
    report::one_line,
};

/// Lines around a change.
const CONTEXT: usize = 3;
/// How long to look for the shortest difference in one document; after that any will do.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// `---`, `+++`.
    Header,
    /// `@@`.
    Hunk,
    /// Not in the input.
    Added,
    /// Not in the output.
    Removed,
    /// In both.
    Same,
}

/// The lines of the difference, with their line breaks.
pub fn unified(sources: &[Source], documents: &[Document], texts: &[(usize, String)]) -> Vec<(Line, String)> {
    let mut lines = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let changes: Vec<(Range<usize>, &str)> = texts
            .iter()
            .filter(|(document, _)| documents[*document].source == index)
            .map(|(document, text)| (documents[*document].part.range.clone(), text.as_str()))
            .collect();
        if !changes.is_empty() {
            of_source(source, &whole_lines(&source.text, &changes), &mut lines);
        }
    }
    lines
}

/// Changes that begin and end with a line; documents of a JSON stream may share one.
fn whole_lines(text: &str, changes: &[(Range<usize>, &str)]) -> Vec<(Range<usize>, String)> {
    let mut whole: Vec<(Range<usize>, String)> = Vec::new();
    for (range, new) in changes {
        let start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
        let at_line_end = range.end == 0 || text[..range.end].ends_with('\n');
        let end = if at_line_end {
            range.end
        } else {
            text[range.end..].find('\n').map_or(text.len(), |at| range.end + at + 1)
        };
        match whole.last_mut() {
            Some((last, last_new)) if last.end > start => {
                let overlap = text[range.start..last.end].len();
                last_new.truncate(last_new.len() - overlap);
                last_new.push_str(new);
                last_new.push_str(&text[range.end..end]);
                last.end = end;
            }
            _ => whole.push((
                start..end,
                [&text[start..range.start], new, &text[range.end..end]].concat(),
            )),
        }
    }
    whole
}

fn of_source(source: &Source, changes: &[(Range<usize>, String)], out: &mut Vec<(Line, String)>) {
    let (mut old, mut new, mut ops) = (Vec::new(), Vec::new(), Vec::new());
    let mut at = 0;
    for (range, text) in changes {
        same(&source.text[at..range.start], &mut old, &mut new, &mut ops);
        let removed: Vec<&str> = source.text[range.clone()].split_inclusive('\n').collect();
        let added: Vec<&str> = text.split_inclusive('\n').collect();
        let deadline = Some(Instant::now() + PATIENCE);
        let (old_start, new_start) = (old.len(), new.len());
        for op in capture_diff_slices_deadline(Algorithm::Myers, &removed, &added, deadline) {
            push(shifted(op, old_start, new_start), &mut ops);
        }
        old.extend(removed);
        new.extend(added);
        at = range.end;
    }
    same(&source.text[at..], &mut old, &mut new, &mut ops);
    let name = one_line(&source.name);
    out.push((Line::Header, format!("--- {name}\n")));
    out.push((Line::Header, format!("+++ {name}\n")));
    for hunk in group_diff_ops(ops, CONTEXT) {
        write_hunk(&hunk, &old, &new, out);
    }
}

fn same<'a>(text: &'a str, old: &mut Vec<&'a str>, new: &mut Vec<&'a str>, ops: &mut Vec<DiffOp>) {
    let (old_index, new_index) = (old.len(), new.len());
    old.extend(text.split_inclusive('\n'));
    let len = old.len() - old_index;
    new.extend_from_slice(&old[old_index..]);
    if len > 0 {
        push(
            DiffOp::Equal {
                old_index,
                new_index,
                len,
            },
            ops,
        );
    }
}

fn shifted(op: DiffOp, old_start: usize, new_start: usize) -> DiffOp {
    let (tag, old, new) = op.as_tag_tuple();
    let (old_index, new_index) = (old.start + old_start, new.start + new_start);
    match tag {
        DiffTag::Equal => DiffOp::Equal {
            old_index,
            new_index,
            len: old.len(),
        },
        DiffTag::Delete => DiffOp::Delete {
            old_index,
            old_len: old.len(),
            new_index,
        },
        DiffTag::Insert => DiffOp::Insert {
            old_index,
            new_index,
            new_len: new.len(),
        },
        DiffTag::Replace => DiffOp::Replace {
            old_index,
            old_len: old.len(),
            new_index,
            new_len: new.len(),
        },
    }
}

/// What is the same on both sides of a boundary is one piece.
fn push(op: DiffOp, ops: &mut Vec<DiffOp>) {
    if let (Some(DiffOp::Equal { len: before, .. }), DiffOp::Equal { len, .. }) = (ops.last_mut(), op) {
        *before += len;
    } else {
        ops.push(op);
    }
}

fn write_hunk(hunk: &[DiffOp], old: &[&str], new: &[&str], out: &mut Vec<(Line, String)>) {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else {
        return;
    };
    let span = |range: Range<usize>| match range.len() {
        0 => format!("{},0", range.start),
        1 => format!("{}", range.start + 1),
        length => format!("{},{length}", range.start + 1),
    };
    let old_span = span(first.old_range().start..last.old_range().end);
    let new_span = span(first.new_range().start..last.new_range().end);
    out.push((Line::Hunk, format!("@@ -{old_span} +{new_span} @@\n")));
    for op in hunk {
        let (tag, old_range, new_range) = op.as_tag_tuple();
        if tag == DiffTag::Equal {
            old[old_range].iter().for_each(|text| line(Line::Same, ' ', text, out));
            continue;
        }
        old[old_range]
            .iter()
            .for_each(|text| line(Line::Removed, '-', text, out));
        new[new_range].iter().for_each(|text| line(Line::Added, '+', text, out));
    }
}

fn line(kind: Line, sign: char, text: &str, out: &mut Vec<(Line, String)>) {
    let end = if text.ends_with('\n') {
        ""
    } else {
        "\n\\ No newline at end of file\n"
    };
    out.push((kind, format!("{sign}{text}{end}")));
}
