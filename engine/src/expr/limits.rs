//! What one expression, and one policy's rendering, may cost.

/// Bytes of one expression's source.
pub const SOURCE_BYTES: usize = 4096;
/// Brackets within brackets and conditionals within conditionals of one expression; bounds the parser's stack.
pub const NESTING: usize = 24;
/// Operators, selections and calls of one expression; bounds the depth of its tree.
pub const OPERATORS: usize = 256;
/// Comprehensions (`map`, `exists`, …) within each other.
pub const COMPREHENSIONS: usize = 3;
/// Bytes of one string, in between or as a result.
pub const STRING_BYTES: usize = 64 * 1024;
/// Weight of one value in between: 16 for every node plus the bytes of its strings.
pub const VALUE_WEIGHT: usize = 512 * 1024;
/// Bytes that expressions put into one policy's rendering.
pub const RENDERED_BYTES: usize = 256 * 1024;
/// Nodes (values, list items and map entries) of the `object` that expressions may read.
pub const OBJECT_NODES: usize = 20_000;
/// Steps of one policy's rendering: one for each node of a tree that is walked and for 16 bytes of each value that is
/// made. A step takes 10 to 100 nanoseconds.
pub const STEPS: u64 = 1_000_000;
/// Steps charged for compiling a pattern that is not a literal.
pub(super) const PATTERN_STEPS: u64 = 20_000;
/// Steps charged for each byte that a pattern looks at, which may take as long as the pattern is large.
pub(super) const PATTERN_STEPS_PER_BYTE: u64 = 8;
/// Bytes of a compiled pattern; the `regex` crate refuses a larger one before it builds it.
pub(crate) const PATTERN_BYTES: usize = 256 * 1024;

/// What is left for one policy in one admission.
#[derive(Debug, Clone)]
pub struct Budget {
    pub(super) steps: u64,
    pub(super) bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            steps: STEPS,
            bytes: RENDERED_BYTES,
        }
    }
}

impl Budget {
    /// Whether no step is left.
    pub fn is_spent(&self) -> bool {
        self.steps == 0
    }

    /// Takes the bytes of a rendered value, or says that there are not enough.
    pub(super) fn take_bytes(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| {
            format!("the policy's expressions render more than {RENDERED_BYTES} bytes; make them shorter")
        })?;
        Ok(())
    }
}
