//! An upper bound of the depth of a source's syntax tree, computed without parsing.
//!
//! A recursive parser descends at every bracket. The tree also grows with every operator of a chain (in `a+b+c`, `a+b`
//! is below the second `+`) and with every `else`. Therefore each open bracket has a count of the operators chained in
//! it since its last separator, and the depth at a byte is the number of open brackets plus these counts. A `<` may
//! open a type list, so it counts until a `>` or the end of the statement. The sum is at least the tree's depth, and
//! may be greater.

/// Counts of one level of brackets.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Operators since the last separator.
    chain: u64,
    /// Type lists that may still be open.
    angles: u64,
}

/// Returns the bound for a source. Linear time; memory proportional to the open brackets.
pub(super) fn deepest(source: &str) -> u64 {
    let mut levels = vec![Level::default()];
    let mut depth = 0_u64;
    let mut deepest = 0;
    // True after a `}`: if the next word is `else`, the chain continues.
    let mut after_block = false;
    let mut rest = source.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, tail.first()) {
            (b'/', Some(b'/')) => {
                rest = after_line(tail);
                continue;
            }
            (b'/', Some(b'*')) => {
                rest = after_comment(tail.get(1..).unwrap_or_default());
                continue;
            }
            _ => {}
        }
        rest = tail;
        if is_word(byte) {
            let len = 1 + tail.iter().take_while(|b| is_word(**b)).count();
            let start = source.len() - tail.len() - 1;
            let word = source.as_bytes().get(start..start + len).unwrap_or_default();
            rest = tail.get(len - 1..).unwrap_or_default();
            if after_block && word != b"else" {
                end_statement(&mut levels, &mut depth);
            } else if word == b"else" {
                chain(&mut levels, &mut depth);
            }
            after_block = false;
        } else {
            match byte {
                b'(' | b'[' | b'{' => {
                    // The expression before a bracket is called or indexed, which also adds a link to the chain.
                    chain(&mut levels, &mut depth);
                    levels.push(Level::default());
                }
                b')' | b']' | b'}' => {
                    end_statement(&mut levels, &mut depth);
                    // The parser rejects a source with too many closing brackets later.
                    if levels.len() > 1 {
                        levels.pop();
                    }
                }
                b',' | b':' => end_operand(&mut levels, &mut depth),
                b';' => end_statement(&mut levels, &mut depth),
                b'<' => open_angle(&mut levels, &mut depth),
                b'>' => close_angle(&mut levels, &mut depth),
                byte if byte.is_ascii_punctuation() => chain(&mut levels, &mut depth),
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                after_block = byte == b'}';
            }
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Returns `true` for letters, digits, `_`, and all non-ASCII bytes, which in WGSL occur only in names and comments.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn chain(levels: &mut [Level], depth: &mut u64) {
    if let Some(level) = levels.last_mut() {
        level.chain += 1;
        *depth += 1;
    }
}

fn open_angle(levels: &mut [Level], depth: &mut u64) {
    if let Some(level) = levels.last_mut() {
        level.angles += 1;
        *depth += 1;
    }
}

/// Handles a `>`. It closes a type list, or is an operator with its left operand one level deeper.
fn close_angle(levels: &mut [Level], depth: &mut u64) {
    if let Some(level) = levels.last_mut()
        && level.angles > 0
    {
        level.angles -= 1;
        *depth -= 1;
    }
    chain(levels, depth);
}

fn end_operand(levels: &mut [Level], depth: &mut u64) {
    if let Some(level) = levels.last_mut() {
        *depth -= std::mem::take(&mut level.chain);
    }
}

fn end_statement(levels: &mut [Level], depth: &mut u64) {
    if let Some(level) = levels.last_mut() {
        let level = std::mem::take(level);
        *depth -= level.chain + level.angles;
    }
}

/// Returns the rest after a line comment. Any line break of WGSL ends it. Ending it too early only increases the bound.
fn after_line(rest: &[u8]) -> &[u8] {
    let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r' | 0x0b | 0x0c | 0xc2 | 0xe2)).unwrap_or(rest.len());
    rest.get(end..).unwrap_or_default()
}

/// Returns the rest after a block comment. Block comments nest. The rest is empty if the comment is never closed.
fn after_comment(mut rest: &[u8]) -> &[u8] {
    let mut open = 1_u64;
    while open > 0 && !rest.is_empty() {
        let step = match rest {
            [b'/', b'*', ..] => {
                open += 1;
                2
            }
            [b'*', b'/', ..] => {
                open -= 1;
                2
            }
            _ => 1,
        };
        rest = rest.get(step..).unwrap_or_default();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::deepest;

    #[test]
    fn brackets_chains_and_elses_add_up() {
        assert_eq!(deepest("fn f() {}"), 2);
        assert_eq!(deepest("((((x))))"), 4);
        assert_eq!(deepest("a+b+c+d"), 3);
        assert_eq!(deepest("a+b, c+d; e+f"), 1);
        assert_eq!(deepest("a+(b+(c+d))"), 5);
        assert_eq!(deepest("if a {} else if b {} else if c {} x = 1;"), 5);
        assert_eq!(deepest("!!!!x"), 4);
        // A comma does not close a type list.
        assert_eq!(deepest("a<1, a<1, a<1, a<1, x"), 4);
    }

    #[test]
    fn closed_blocks_do_not_add_up() {
        assert_eq!(deepest(&"if x { y = 1; }\n".repeat(1000)), 2);
        assert_eq!(deepest(&"y = a[1] + b[2];\n".repeat(1000)), 4);
    }

    #[test]
    fn comments_hide_brackets_and_do_not_hide_code() {
        assert_eq!(deepest("// ((((\n(x)"), 1);
        assert_eq!(deepest("/* (((( /* (( */ (( */ (x)"), 1);
        assert_eq!(deepest("// é ((((\n((x))"), 2);
        assert_eq!(deepest("// a line separator ends it \u{2028} ((x))"), 2);
        assert_eq!(deepest("/* never closed ((("), 0);
        assert_eq!(deepest("a /**/ + b"), 1);
    }

    #[test]
    fn any_bytes_are_taken() {
        assert_eq!(deepest("))))(("), 2);
        assert_eq!(deepest(""), 0);
        assert_eq!(deepest("/"), 1);
    }
}
