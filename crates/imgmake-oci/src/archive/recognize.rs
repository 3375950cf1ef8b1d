//! What a file is that is no tar: for messages.

/// "a zip archive"; `None` when unknown.
pub(super) fn what_it_is(start: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 12] = [
        (b"PK\x03\x04", "a zip archive"),
        (b"PK\x05\x06", "an empty zip archive"),
        (b"\x7fELF", "a program (ELF)"),
        (b"MZ", "a Windows program"),
        (b"hsqs", "a squashfs image"),
        (b"QFI\xfb", "a qcow2 disk image"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!", "a rar archive"),
        (b"!<arch>", "a Debian package or an ar archive"),
        (b"\xed\xab\xee\xdb", "an rpm package"),
        (b"#!", "a script"),
        (
            b"version https://git-lfs",
            "a Git LFS pointer: fetch the file itself (`git lfs pull`)",
        ),
    ];
    if start.is_empty() {
        return Some("an empty file");
    }
    if start.iter().all(|b| *b == 0) {
        return Some("nothing but zeros");
    }
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(what);
    }
    // SIF has its magic behind a launch script.
    if start.get(32..41) == Some(b"SIF_MAGIC") {
        return Some("a Singularity image");
    }
    let text = start.trim_ascii_start();
    match text.first() {
        Some(b'{' | b'[') => Some("a JSON file"),
        Some(b'<') => Some("an HTML or XML page, perhaps an error page saved under this name"),
        _ if std::str::from_utf8(start).is_ok() => Some("a text file"),
        _ => None,
    }
}
