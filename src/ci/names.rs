//! Names of targets as names of jobs. A name that a system does not take as it is gets the
//! beginning of its hash, so that no two targets become one job, whatever others are called.

/// `[A-Za-z_][A-Za-z0-9_-]*`
pub fn github(target: &str) -> String {
    let fits = |at: usize, c: char| match at {
        0 => c.is_ascii_alphabetic() || c == '_',
        _ => c.is_ascii_alphanumeric() || c == '_' || c == '-',
    };
    match target.char_indices().all(|(at, c)| fits(at, c)) {
        true => target.to_string(),
        false => format!("job-{}", marked(target)),
    }
}

/// Whatever is no keyword of the file.
pub fn gitlab(target: &str) -> String {
    const KEYWORDS: [&str; 16] = [
        "after_script",
        "before_script",
        "cache",
        "default",
        "false",
        "image",
        "include",
        "nil",
        "pages",
        "services",
        "spec",
        "stages",
        "true",
        "types",
        "variables",
        "workflow",
    ];
    match KEYWORDS.contains(&target) {
        true => format!("{target}-job"),
        false => target.to_string(),
    }
}

/// A DNS label, as Kubernetes names what it runs.
pub fn kubernetes(target: &str) -> String {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    // Ours begin like this.
    let fits = target.len() <= 50
        && !target.starts_with("imgmake-")
        && target.chars().all(|c| word(c) || c == '-')
        && target.starts_with(word)
        && target.ends_with(word);
    match fits {
        true => target.to_string(),
        false => format!("job-{}", marked(target).to_lowercase()),
    }
}

fn marked(target: &str) -> String {
    let letters = target
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let slug: String = letters.take(40).collect();
    let hash = blake3::hash(target.as_bytes()).to_hex();
    format!("{}-{}", slug.trim_matches('-'), &hash[..6])
}
