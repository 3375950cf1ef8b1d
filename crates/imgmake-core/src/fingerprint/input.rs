//! One named input of a target or a step: kind, name and hash.

/// One thing that a target depends on. `kind` and `name` are what `why` shows:
/// `file src/main.c`, `variable TAG`, `target base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub kind: &'static str,
    pub name: String,
    pub hash: [u8; 32],
}
