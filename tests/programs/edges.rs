//! The values at the edges of what a parameter's rules admit: every end of a number, every choice, and of a pattern each way through
//! it, as short and as long as may be.
use regex::Regex;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};
use serde_json::Value;
use std::collections::BTreeSet;

/// The values of a declared parameter, as annotations have them. Those without any rule: none.
pub fn values(parameter: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let choices = parameter["enum"].as_array().into_iter().flatten();
    let ends = ["minimum", "maximum"]
        .map(|end| parameter.get(end))
        .into_iter()
        .flatten();
    let mut values: BTreeSet<String> = choices.chain(ends).map(text).collect();
    if let Some(pattern) = parameter["pattern"].as_str() {
        values.extend(matching(pattern));
    }
    match parameter["type"].as_str() {
        Some("boolean") => values.extend(["false", "true"].map(str::to_owned)),
        // And the empty list.
        Some("stringList") => drop(values.insert(String::new())),
        _ => {}
    }
    values.into_iter().collect()
}

/// Strings that the pattern matches as a whole.
fn matching(pattern: &str) -> BTreeSet<String> {
    let hir = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(pattern)
        .unwrap();
    let whole = Regex::new(&format!("\\A(?:{pattern})\\z")).unwrap();
    let found: BTreeSet<String> = ways(&hir).into_iter().filter(|text| whole.is_match(text)).collect();
    assert!(!found.is_empty(), "{pattern}");
    found
}

/// Strings in which each way through it is taken at least once, not every way with every other. An assertion may make some of them
/// none that match.
fn ways(hir: &Hir) -> Vec<String> {
    let ends = |ends: [char; 2]| ends.map(String::from);
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![String::new()],
        HirKind::Literal(literal) => vec![String::from_utf8(literal.0.to_vec()).unwrap()],
        HirKind::Class(Class::Bytes(class)) => {
            let ranges = class.ranges().iter();
            ranges
                .flat_map(|range| ends([range.start().into(), range.end().into()]))
                .collect()
        }
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges().iter();
            ranges.flat_map(|range| ends([range.start(), range.end()])).collect()
        }
        HirKind::Repetition(repetition) => repeated(repetition),
        HirKind::Capture(capture) => ways(&capture.sub),
        HirKind::Concat(parts) => one_after_the_other(parts),
        HirKind::Alternation(parts) => parts.iter().flat_map(ways).collect(),
    }
}

/// As few and as many as may be, and each after the first; without an upper limit, two more than needed.
fn repeated(repetition: &Repetition) -> Vec<String> {
    let once = ways(&repetition.sub);
    let (least, most) = (repetition.min, repetition.max.unwrap_or(repetition.min + 2));
    let mut all = Vec::new();
    for (place, way) in once.iter().enumerate() {
        let times = if place % 2 == 0 { most } else { least.max(1) };
        all.push(way.repeat(times as usize));
        if least <= 1 {
            all.push(way.clone());
        }
        if least <= 2 && most >= 2 {
            all.push(format!("{}{way}", once[0]));
        }
    }
    all.extend((least == 0).then(String::new));
    all.sort();
    all.dedup();
    all
}

/// Each way of each part once, and all the shortest and all the longest together.
fn one_after_the_other(parts: &[Hir]) -> Vec<String> {
    let each: Vec<Vec<String>> = parts.iter().map(ways).collect();
    let longest = each.iter().map(Vec::len).max().unwrap_or_default();
    let nth = |place: usize| each.iter().map(|ways| ways[place % ways.len()].as_str()).collect();
    let mut all: Vec<String> = (0..longest).map(nth).collect();
    all.push(
        each.iter()
            .filter_map(|ways| ways.iter().min_by_key(|text| text.len()))
            .map(String::as_str)
            .collect(),
    );
    all.push(
        each.iter()
            .filter_map(|ways| ways.iter().max_by_key(|text| text.len()))
            .map(String::as_str)
            .collect(),
    );
    all.sort();
    all.dedup();
    all
}

#[test]
fn the_edges_of_a_pattern_are_all_ways_through_it() {
    let found = |pattern| matching(pattern).into_iter().collect::<Vec<_>>();
    assert_eq!(found("[a-c]{1,3}"), ["a", "aa", "aaa", "ac", "c"]);
    assert_eq!(found("x|(yz?)"), ["x", "y", "yz"]);
    assert_eq!(found("((^|\\b\\|)a)+"), ["a", "a|a"]);
    assert_eq!(found("b+"), ["b", "bb", "bbb"]);
    assert_eq!(found("[ab]{2}c?"), ["aa", "abc", "bb", "bbc"]);
}
