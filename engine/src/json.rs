//! Reads JSON as `serde_json` does, and passes over what nobody asks for at a fraction of its cost.
//!
//! Most of a review is passed over: managed fields, status, what no policy looks at. That is where the time of a call would go.
//! So of an object or a list that is not read, only its end is looked for, by brackets and quotes, 64 bytes at a time. What is
//! read is read strictly; numbers, and strings with escapes, by `serde_json` itself.
//!
//! **Architecture Invariant:** what is JSON is read as `serde_json` reads it, but for being nested too deeply for that crate, which
//! does not matter in what is passed over. What is none is an error wherever it is read, and where it is cut off.

use std::borrow::Cow;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::Error;
use wide::u8x16;

/// What `serde_json`'s RawValue asks for a value's text by. It is no part of that crate's interface; a test reads one.
const RAW_VALUE: &str = "$serde_json::private::RawValue";
/// As deep as `serde_json` reads.
const DEPTH: u8 = 128;
/// Bytes that are looked at together.
const LANES: usize = 16;
/// Bytes of which it is told together where strings are.
const BLOCK: usize = 4 * LANES;

/// Reads a text that holds one value.
///
/// # Errors
/// When it is not JSON, or not of the shape of a `T`; with line and column.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    let mut reader = Reader::new(text);
    let value = T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| reader.located(&error))
}

/// A text, and how far it is read.
struct Reader<'de> {
    text: &'de str,
    at: usize,
    depth: u8,
}

impl<'de> Reader<'de> {
    fn new(text: &'de str) -> Self {
        Reader {
            text,
            at: 0,
            depth: DEPTH,
        }
    }

    /// The next byte that is not white space; it is not read yet.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Reads this byte, which may come after white space.
    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Error> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            found => Err(unexpected(found, what)),
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Error::custom("trailing characters")),
        }
    }

    /// The error, with where it was found.
    #[cold]
    fn located(&self, error: &Error) -> Error {
        let read = &self.text.as_bytes()[..self.at.min(self.text.len())];
        let line = 1 + read.iter().filter(|byte| **byte == b'\n').count();
        let column = read.iter().rev().take_while(|byte| **byte != b'\n').count();
        let told = error.to_string();
        // What was read alone has a place within itself.
        let told = told.rsplit_once(" at line ").map_or(told.as_str(), |(told, _)| told);
        Error::custom(format_args!("{told} at line {line} column {column}"))
    }

    /// Reads `null`, `true` or `false`, of which the first letter is there.
    fn literal(&mut self, word: &'static str) -> Result<(), Error> {
        match self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            true => {
                self.at += word.len();
                Ok(())
            }
            false => Err(unexpected_end_or(
                self.text.len() - self.at < word.len(),
                "expected ident",
            )),
        }
    }

    /// Reads a number, of which the first character is there.
    fn number(&mut self) -> Result<&'de str, Error> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = bytes[start..].iter().take_while(is_part).count();
        self.at += length;
        let text = &self.text[start..self.at];
        let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
        let is_whole = digits.iter().all(u8::is_ascii_digit) && !digits.is_empty();
        if !is_whole || (digits[0] == b'0' && digits.len() > 1) {
            serde_json::from_str::<de::IgnoredAny>(text)?;
        }
        Ok(text)
    }

    /// Reads a string, of which the quote is there, and says whether it has escapes; they are not looked into.
    fn span(&mut self) -> Result<(&'de str, bool), Error> {
        let start = self.at + 1;
        let (mut at, mut has_escapes) = (start, false);
        let bytes = self.text.as_bytes();
        loop {
            at += plain(&bytes[at..]);
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    at += 2;
                    if at > bytes.len() {
                        self.at = bytes.len();
                        return Err(unexpected_end());
                    }
                }
                found => {
                    self.at = at;
                    let inside = "control character (\\u0000-\\u001F) found while parsing a string";
                    return Err(unexpected_end_or(found.is_none(), inside));
                }
            }
        }
        self.at = at + 1;
        Ok((&self.text[start..at], has_escapes))
    }

    /// Reads a string, of which the quote is there.
    fn string(&mut self) -> Result<Cow<'de, str>, Error> {
        let start = self.at;
        match self.span()? {
            (text, false) => Ok(Cow::Borrowed(text)),
            (_, true) => serde_json::from_str(&self.text[start..self.at]).map(Cow::Owned),
        }
    }

    /// Reads a string, of which the quote is there, and forgets it.
    fn skip_string(&mut self) -> Result<(), Error> {
        let start = self.at;
        if let (_, true) = self.span()? {
            serde_json::from_str::<de::IgnoredAny>(&self.text[start..self.at])?;
        }
        Ok(())
    }

    /// Passes over a value, however deep. Where an object or a list ends is told by brackets and quotes alone.
    fn skip(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'{' | b'[') => {
                self.at = container_end(&self.text.as_bytes()[self.at..])
                    .map(|length| self.at + length)
                    .ok_or_else(unexpected_end)?;
                Ok(())
            }
            Some(b'"') => self.skip_string(),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b'n') => self.literal("null"),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            found => Err(unexpected(found, "value")),
        }
    }

    /// One level deeper.
    fn within<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth = self
            .depth
            .checked_sub(1)
            .filter(|left| *left > 0)
            .ok_or_else(too_deep)?;
        self.at += 1;
        let value = read(self);
        self.depth += 1;
        value
    }

    /// Whether there is one more before this bracket; the comma before it is read then.
    fn goes_on(&mut self, is_first: &mut bool, bracket: u8, what: &'static str) -> Result<bool, Error> {
        match self.peek() {
            Some(found) if found == bracket => return Ok(false),
            Some(b',') if !*is_first => self.at += 1,
            _ if *is_first => {}
            found => return Err(unexpected(found, what)),
        }
        *is_first = false;
        Ok(true)
    }

    fn visit_string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        match self.string()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn map<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        self.within(|reader| {
            let mut members = Members { reader, is_first: true };
            let value = visitor.visit_map(&mut members)?;
            members.end()?;
            Ok(value)
        })
    }

    fn seq<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        self.within(|reader| {
            let mut items = Items { reader, is_first: true };
            let value = visitor.visit_seq(&mut items)?;
            items.end()?;
            Ok(value)
        })
    }
}

/// How many bytes come before a quote, a backslash or a control character.
fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<LANES>() {
        let lanes = u8x16::new(*chunk);
        let is_control = lanes.min(u8x16::splat(0x1f)).simd_eq(lanes);
        let ends = lanes.simd_eq(u8x16::splat(b'"')) | lanes.simd_eq(u8x16::splat(b'\\')) | is_control;
        match ends.to_bitmask() {
            0 => at += LANES,
            mask => return at + mask.trailing_zeros() as usize,
        }
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    at + bytes[at..].iter().position(ends).unwrap_or(bytes.len() - at)
}

/// How long the object or list is that a text begins with.
fn container_end(text: &[u8]) -> Option<usize> {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let last = || {
        let mut last = [b' '; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        last
    };
    let (mut strings, mut depth) = (Strings::default(), 0);
    for (number, block) in blocks.iter().copied().chain(std::iter::once_with(last)).enumerate() {
        let marks = Marks::of(&block);
        let inside = strings.inside(marks.quotes, marks.backslashes);
        let (opening, mut closing) = (marks.opening & !inside, marks.closing & !inside);
        // So many cannot end it.
        if closing.count_ones() < depth {
            depth = depth + opening.count_ones() - closing.count_ones();
            continue;
        }
        let mut closed = 0;
        while closing != 0 {
            let at = closing.trailing_zeros();
            closed += 1;
            let opened = (opening & ((1 << at) - 1)).count_ones();
            if depth + opened <= closed {
                return Some(number * BLOCK + at as usize + 1);
            }
            closing &= closing - 1;
        }
        depth = depth + opening.count_ones() - closed;
    }
    None
}

/// Where in a block these bytes are, a bit each.
#[derive(Default)]
struct Marks {
    quotes: u64,
    backslashes: u64,
    opening: u64,
    closing: u64,
}

impl Marks {
    fn of(block: &[u8; BLOCK]) -> Marks {
        let mut marks = Marks::default();
        for (index, lanes) in block.as_chunks::<LANES>().0.iter().enumerate() {
            let lanes = u8x16::new(*lanes);
            let at = |found: u8x16| u64::from(found.to_bitmask()) << (index * LANES);
            marks.quotes |= at(lanes.simd_eq(u8x16::splat(b'"')));
            marks.backslashes |= at(lanes.simd_eq(u8x16::splat(b'\\')));
            // `[` and `{` differ in one bit, and so do `]` and `}`.
            let brackets = lanes | u8x16::splat(0x20);
            marks.opening |= at(brackets.simd_eq(u8x16::splat(b'{')));
            marks.closing |= at(brackets.simd_eq(u8x16::splat(b'}')));
        }
        marks
    }
}

/// What of a text is within strings, block by block.
#[derive(Default)]
struct Strings {
    /// All bits: the block before ended in a string.
    open: u64,
    /// 1: it ended in a backslash that escapes.
    escape: u64,
}

impl Strings {
    /// Which bytes of the next block are in a string, its first quote with them.
    fn inside(&mut self, quotes: u64, backslashes: u64) -> u64 {
        let mut inside = quotes & !self.escaped(backslashes);
        for distance in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << distance;
        }
        inside ^= self.open;
        self.open = 0u64.wrapping_sub(inside >> 63);
        inside
    }

    /// Which bytes come after a backslash that is not itself escaped: every second one of a run.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        if backslashes == 0 {
            return std::mem::take(&mut self.escape);
        }
        let mut escaped = self.escape;
        let mut left = backslashes & !escaped;
        self.escape = 0;
        while left != 0 {
            let at = left.trailing_zeros();
            match 2u64.checked_shl(at).filter(|_| at < 63) {
                Some(next) => {
                    escaped |= next;
                    left &= !(next | next >> 1);
                }
                None => {
                    self.escape = 1;
                    left = 0;
                }
            }
        }
        escaped
    }
}

#[cold]
fn unexpected(found: Option<u8>, wanted: &'static str) -> Error {
    match found {
        None => unexpected_end(),
        Some(_) => Error::custom(format_args!("expected {wanted}")),
    }
}

#[cold]
fn unexpected_end() -> Error {
    Error::custom("EOF while parsing")
}

#[cold]
fn unexpected_end_or(is_end: bool, otherwise: &'static str) -> Error {
    match is_end {
        true => unexpected_end(),
        false => Error::custom(otherwise),
    }
}

#[cold]
fn too_deep() -> Error {
    Error::custom("recursion limit exceeded")
}

impl<'de> Reader<'de> {
    /// Reads a value, and returns its text.
    fn raw(&mut self) -> Result<&'de str, Error> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// Has `serde_json` read the next value.
    fn delegated(&mut self) -> Result<serde_json::Deserializer<serde_json::de::StrRead<'de>>, Error> {
        self.raw().map(serde_json::Deserializer::from_str)
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => self.visit_string(visitor),
            Some(b'{') => self.map(visitor),
            Some(b'[') => self.seq(visitor),
            _ => self.delegated()?.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'n') => self.literal("null").and_then(|()| visitor.visit_none()),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match name {
            RAW_VALUE => visitor.visit_map(Raw(Some(self.raw()?))),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => self.visit_string(visitor),
            _ => self.delegated()?.deserialize_str(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'{') => self.map(visitor),
            _ => self.delegated()?.deserialize_map(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'{') => self.map(visitor),
            _ => self.delegated()?.deserialize_struct(name, fields, visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'[') => self.seq(visitor),
            _ => self.delegated()?.deserialize_seq(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.delegated()?.deserialize_bool(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.delegated()?.deserialize_i64(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip().and_then(|()| visitor.visit_unit())
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.delegated()?.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// The members of an object.
struct Members<'r, 'de> {
    reader: &'r mut Reader<'de>,
    is_first: bool,
}

impl Members<'_, '_> {
    fn end(self) -> Result<(), Error> {
        self.reader.expect(b'}', "`,` or `}`")
    }
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if !self.reader.goes_on(&mut self.is_first, b'}', "`,` or `}`")? {
            return Ok(None);
        }
        let key = match self.reader.peek() {
            Some(b'"') => self.reader.string()?,
            found => return Err(unexpected(found, "object key")),
        };
        match key {
            Cow::Borrowed(key) => seed.deserialize(BorrowedStrDeserializer::new(key)),
            Cow::Owned(key) => seed.deserialize(key.into_deserializer()),
        }
        .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.reader.expect(b':', "`:`")?;
        seed.deserialize(&mut *self.reader)
    }
}

/// The items of a list.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    is_first: bool,
}

impl Items<'_, '_> {
    fn end(self) -> Result<(), Error> {
        self.reader.expect(b']', "`,` or `]`")
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if !self.reader.goes_on(&mut self.is_first, b']', "`,` or `]`")? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// The text of a value, in the shape in which `serde_json`'s RawValue takes it.
struct Raw<'de>(Option<&'de str>);

impl<'de> MapAccess<'de> for Raw<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        match self.0 {
            Some(_) => seed.deserialize(BorrowedStrDeserializer::new(RAW_VALUE)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let text = self.0.take().unwrap_or("null");
        seed.deserialize(BorrowedStrDeserializer::new(text))
    }
}

#[cfg(test)]
mod tests;
