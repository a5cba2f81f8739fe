//! Where an expression ends, and whether it is small enough for the parser; by CEL's tokens, before the parser sees it.

use super::limits::{NESTING, OPERATORS, SOURCE_BYTES};

/// A part of a string value.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    Literal(String),
    /// The source between `${` and `}`.
    Expression(&'a str),
}

/// Splits a string value. `$${` stands for `${`; any other `$` is itself.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$${") {
            literal.push_str("${");
            rest = after;
        } else if let Some(inside) = rest.strip_prefix("${") {
            let end = end_of_expression(inside)?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Expression(&inside[..end]));
            rest = &inside[end + 1..];
        } else {
            literal.push('$');
            rest = &rest[1..];
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// The index of the `}` that closes an expression.
fn end_of_expression(source: &str) -> Result<usize, String> {
    let mut braces = 0usize;
    for token in Tokens::new(source) {
        match token? {
            Token {
                kind: Kind::Symbol(b'{'),
                ..
            } => braces += 1,
            Token {
                kind: Kind::Symbol(b'}'),
                at,
            } if braces == 0 => return Ok(at),
            Token {
                kind: Kind::Symbol(b'}'),
                ..
            } => braces -= 1,
            _ => {}
        }
    }
    Err("an expression is not closed: ${ without its }; write $${ for a literal ${".to_string())
}

/// Refuses what would be too deep or too long for the parser, and `!!` and `--`, which it reads wrongly.
pub(super) fn check(source: &str) -> Result<(), String> {
    if source.len() > SOURCE_BYTES {
        return Err(format!(
            "the expression has {} bytes; {SOURCE_BYTES} are allowed",
            source.len()
        ));
    }
    let mut size = Size::default();
    for token in Tokens::new(source) {
        size.add(token?.kind)?;
    }
    match size.tokens {
        0 => Err("the expression is empty; write $${ for a literal ${".to_string()),
        _ => Ok(()),
    }
}

/// Counts while [`check`] goes through the tokens.
#[derive(Default)]
struct Size {
    tokens: usize,
    depth: usize,
    conditionals: usize,
    operators: usize,
    last: Option<Kind>,
    /// The last token was a minus sign that negates.
    negated: bool,
}

impl Size {
    fn add(&mut self, kind: Kind) -> Result<(), String> {
        self.tokens += 1;
        if let Kind::Symbol(symbol) = kind {
            self.add_symbol(symbol)?;
        }
        self.negated = kind == Kind::Symbol(b'-') && !self.last.is_some_and(ends_operand);
        self.last = Some(kind);
        if self.depth + self.conditionals > NESTING {
            return Err(format!(
                "the expression is nested more than {NESTING} deep; split it up"
            ));
        }
        if self.operators > OPERATORS {
            return Err(format!(
                "the expression has more than {OPERATORS} operators; split it up"
            ));
        }
        Ok(())
    }

    fn add_symbol(&mut self, symbol: u8) -> Result<(), String> {
        match symbol {
            b'!' if self.last == Some(Kind::Symbol(b'!')) => return Err("write x instead of !!x".to_string()),
            b'-' if self.negated => return Err("write x instead of --x".to_string()),
            b'(' | b'[' | b'{' => self.depth += 1,
            b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b'?' if self.last.is_some_and(ends_operand) => self.conditionals += 1,
            _ => {}
        }
        self.operators += usize::from(!matches!(symbol, b')' | b']' | b'}' | b',' | b':'));
        Ok(())
    }
}

/// Whether an operand may end with this token, so that a sign after it has two sides.
fn ends_operand(kind: Kind) -> bool {
    matches!(kind, Kind::Word | Kind::Text | Kind::Symbol(b')' | b']' | b'}'))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Word,
    Text,
    Symbol(u8),
}

struct Token {
    kind: Kind,
    at: usize,
}

/// CEL's tokens, as far as they matter here; comments and spaces are skipped.
struct Tokens<'a> {
    source: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    fn new(source: &'a str) -> Self {
        Tokens {
            source: source.as_bytes(),
            at: 0,
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = &self.source[self.at..];
            match rest {
                [b'/', b'/', ..] => self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
                [first, ..] if first.is_ascii_whitespace() => self.at += 1,
                _ => return,
            }
        }
    }

    /// Skips a string that begins at the present index.
    fn text(&mut self, raw: bool) -> Result<(), String> {
        let quote = self.source[self.at];
        let triple = self.source[self.at..].starts_with(&[quote; 3]);
        let close: &[u8] = if triple { &[quote; 3] } else { &[quote; 1] };
        self.at += close.len();
        while let Some(byte) = self.source.get(self.at) {
            match byte {
                b'\\' if !raw => self.at += 2,
                b'\n' | b'\r' if !triple => break,
                _ if self.source[self.at..].starts_with(close) => {
                    self.at += close.len();
                    return Ok(());
                }
                _ => self.at += 1,
            }
        }
        Err(format!(
            "a string in an expression is not closed: a {} is missing",
            char::from(quote)
        ))
    }
}

impl Iterator for Tokens<'_> {
    type Item = Result<Token, String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_blanks();
        let at = self.at;
        let first = *self.source.get(at)?;
        let word = self.source[at..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
            .count();
        self.at += word;
        let quoted = matches!(self.source.get(self.at), Some(b'\'' | b'"'));
        let raw = matches!(&self.source[at..self.at], [b'r' | b'R'] | [b'b' | b'B', b'r' | b'R']);
        let prefixed = raw || matches!(&self.source[at..self.at], [] | [b'b' | b'B']);
        if quoted && prefixed {
            return Some(self.text(raw).map(|()| Token { kind: Kind::Text, at }));
        }
        if word > 0 {
            return Some(Ok(Token { kind: Kind::Word, at }));
        }
        self.at += 1;
        Some(Ok(Token {
            kind: Kind::Symbol(first),
            at,
        }))
    }
}
