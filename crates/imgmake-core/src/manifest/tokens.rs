//! KDL v2's smallest parts: strings, numbers, white space, the letters of a word.

/// Bytes of the string literal (plain, raw, multi-line) that `rest` begins with.
pub(super) fn quoted_length(rest: &str) -> Option<usize> {
    let hashes = rest.bytes().take_while(|b| *b == b'#').count();
    let body = &rest[hashes..];
    let several_lines =
        body.starts_with("\"\"\"") && body[3..].chars().next().is_some_and(is_newline);
    let quote = if several_lines { "\"\"\"" } else { "\"" };
    let close = format!("{quote}{}", "#".repeat(hashes));
    let bytes = body.as_bytes();
    let mut at = quote.len();
    while at < bytes.len() {
        if hashes == 0 && bytes[at] == b'\\' {
            at = skip_escape(body, at)?;
            continue;
        }
        if body.as_bytes()[at..].starts_with(close.as_bytes()) {
            return Some(hashes + at + close.len());
        }
        if !several_lines && body.is_char_boundary(at) && body[at..].starts_with(is_newline) {
            return None;
        }
        at += 1;
    }
    None
}

/// Past `\x`, or past `\` and all the white space after it, which may hold line ends.
pub(super) fn skip_escape(body: &str, at: usize) -> Option<usize> {
    let next = body[at + 1..].chars().next()?;
    if !is_newline(next) && !is_space(next) {
        return Some(at + 1 + next.len_utf8());
    }
    let rest = &body[at + 1..];
    let blank = rest.len()
        - rest
            .trim_start_matches(|c| is_newline(c) || is_space(c))
            .len();
    Some(at + 1 + blank)
}

pub(super) fn is_unicode_escape(rest: &str) -> bool {
    rest.strip_prefix('{')
        .and_then(|rest| rest.split_once('}'))
        .is_some_and(|(digits, _)| {
            (1..=6).contains(&digits.len())
                && u32::from_str_radix(digits, 16).is_ok_and(|code| char::from_u32(code).is_some())
        })
}

pub(super) fn looks_like_number(word: &str) -> bool {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let digits = unsigned.strip_prefix('.').unwrap_or(unsigned);
    digits.starts_with(|c: char| c.is_ascii_digit())
}

pub(super) fn is_number(word: &str) -> bool {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let digits = |text: &str, radix: u32| {
        text.starts_with(|c: char| c.is_digit(radix))
            && text.chars().all(|c| c == '_' || c.is_digit(radix))
    };
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = unsigned.strip_prefix(prefix) {
            return digits(rest, radix);
        }
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole, 10)
        && fraction.is_none_or(|fraction| digits(fraction, 10))
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e), 10))
}

pub(super) fn is_newline(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{85}' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}'
    )
}

pub(super) fn is_space(c: char) -> bool {
    matches!(
        c,
        '\t' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

/// Characters of an identifier without quotes.
pub(super) fn is_bare(c: char) -> bool {
    !is_newline(c)
        && !is_space(c)
        && !matches!(
            c,
            '\\' | '/' | '(' | ')' | '{' | '}' | '[' | ']' | ';' | '"' | '#' | '='
        )
}
