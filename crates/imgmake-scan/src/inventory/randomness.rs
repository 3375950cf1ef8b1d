//! Whether some text is random, as keys are, or words, numbers and examples.

/// Shannon's entropy in bits for each byte.
fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let length = text.len() as f64;
    let used = counts.iter().filter(|count| **count > 0);
    used.map(|count| {
        let share = f64::from(*count) / length;
        -share * share.log2()
    })
    .sum()
}

/// A token of an issuer's form: all that is not random about real ones is their form.
pub fn is_random(token: &[u8]) -> bool {
    !is_example(token) && entropy(token) >= 3.0
}

/// A value without a form of its own: the measure is stricter, since words and paths have some
/// entropy, too.
pub fn is_random_value(value: &[u8]) -> bool {
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    let letters = value.iter().filter(|b| b.is_ascii_alphabetic()).count();
    if digits < 2 || letters < 2 || is_example(value) || is_words(value) {
        return false;
    }
    let is_hex = value.iter().all(u8::is_ascii_hexdigit);
    let least = match (is_hex, value.len()) {
        // Short ones are revisions and checksums more often than keys.
        (true, ..32) => return false,
        (true, _) => 3.0,
        (false, ..20) => 3.0,
        (false, _) => 3.7,
    };
    entropy(value) >= least
}

/// A password where nothing else stands: it may be short, and have no digit.
pub fn is_password(value: &[u8]) -> bool {
    let lower = value.iter().filter(|b| b.is_ascii_lowercase()).count();
    let others = value.iter().filter(|b| !b.is_ascii_lowercase()).count();
    lower > 0 && others > 1 && !is_example(value) && !is_words(value) && entropy(value) >= 2.75
}

/// What people write in place of a secret.
fn is_example(text: &[u8]) -> bool {
    const WORDS: [&str; 14] = [
        "example",
        "xxxx",
        "your",
        "changeme",
        "change-me",
        "change_me",
        "placeholder",
        "dummy",
        "redacted",
        "abcdefgh",
        "12345678",
        "00000000",
        "insert",
        "****",
    ];
    let lower = String::from_utf8_lossy(text).to_ascii_lowercase();
    WORDS.iter().any(|word| lower.contains(word))
}

/// Words, paths, addresses and names of code, whatever numbers are in them: between separators
/// each part is a word or a number, and long parts mix them rarely.
fn is_words(value: &[u8]) -> bool {
    let parts = value.split(|b| b"._-/=@#&!~^*+".contains(b));
    let parts: Vec<&[u8]> = parts.filter(|p| !p.is_empty()).collect();
    let is_word = |part: &&&[u8]| {
        let changes = part.windows(2).filter(|pair| {
            pair[0].is_ascii_digit() != pair[1].is_ascii_digit()
                || (pair[0].is_ascii_uppercase() && pair[1].is_ascii_lowercase())
        });
        // `Oauth2TokenService`: a change for four letters is one word beside another.
        changes.count() * 4 <= part.len()
    };
    let words: usize = parts.iter().filter(is_word).map(|p| p.len()).sum();
    let all: usize = parts.iter().map(|p| p.len()).sum();
    words * 10 > all * 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_random_and_words_are_not() {
        for value in [
            "k3Jx9fQ2mZp7Lw4Tn8Rv1Yb6",
            "9f86d081884c7d659a2feaa0c55ad015",
            "Zm9vYmFyQmF6cXV4MTIzNDU2Nzg5",
        ] {
            assert!(is_random_value(value.as_bytes()), "{value}");
        }
        for value in [
            "com.example.service.TokenProvider2",
            "/var/lib/app2/secrets/token3",
            "xxxxxxxxxxxxxxxxxxxxxxxx1234",
            "AKIAIOSFODNN7EXAMPLE",
            "getAccessTokenSilently2",
            "2026-11-30T12:00:00Z",
            "9f86d081884c7d65",
            "11111111111111111111aaaa",
        ] {
            assert!(!is_random_value(value.as_bytes()), "{value}");
        }
        assert!(is_random(b"AKIAQ3EGRTXV5LMBZ7WD"));
        assert!(!is_random(b"ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    }
}
