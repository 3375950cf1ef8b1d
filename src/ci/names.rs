//! Names of targets as names of jobs. A name that a system does not take as it is gets the
//! beginning of its hash, so that no two targets become one job, whatever others are called.
//! No name that is taken as it is looks like one with a hash.

/// `[a-z_][a-z0-9_-]*`: GitHub takes `App`, too, but not beside `app`.
pub fn github(target: &str) -> String {
    let fits = |at: usize, c: char| match at {
        0 => c.is_ascii_lowercase() || c == '_',
        _ => c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-',
    };
    named(target, target.char_indices().all(|(at, c)| fits(at, c)))
}

/// Whatever is no keyword of the file, and no hidden job.
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
    named(
        target,
        !KEYWORDS.contains(&target) && !target.starts_with('.'),
    )
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
    named(target, fits).to_lowercase()
}

fn named(target: &str, fits: bool) -> String {
    match fits && !looks_marked(target) {
        true => target.to_string(),
        false => marked(target),
    }
}

const HASH: usize = 12;

/// As [`marked`] writes it: `job-…-0123456789ab`
fn looks_marked(target: &str) -> bool {
    let hash = target.rsplit('-').next().unwrap_or_default();
    target.starts_with("job-") && hash.len() == HASH && hash.chars().all(|c| c.is_ascii_hexdigit())
}

fn marked(target: &str) -> String {
    let letters = target
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let slug: String = letters.take(40).collect();
    let hash = blake3::hash(target.as_bytes()).to_hex();
    format!("job-{}-{}", slug.trim_matches('-'), &hash[..HASH])
}
