//! What the manifest does not say of jobs.

use serde_json::{Map, Value};

/// For which system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Github,
    Gitlab,
    Tekton,
    Argo,
}

impl System {
    pub fn title(self) -> &'static str {
        match self {
            System::Github => "GitHub",
            System::Gitlab => "GitLab",
            System::Tekton => "Tekton",
            System::Argo => "Argo",
        }
    }
}

/// What the manifest does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where jobs share steps: `HOST/REPOSITORY`.
    pub cache: Option<String>,
    /// The image that jobs run in, or take the program from.
    pub image: Option<String>,
    /// Variables of every job, as the system reads them.
    pub variables: Vec<(String, String)>,
    /// Options of the program in every job: `-C`, `-f`, `--var`, `--set`.
    pub arguments: Vec<String>,
    /// The manifest's directory in the checkout; empty for the checkout itself.
    pub directory: String,
}

/// Where jobs find the name of the cache.
pub const CACHE: &str = "IMGMAKE_CACHE";
/// What lies in the image beside the program: a shell, which lines of jobs want.
const IMAGE: &str = "registry.example.com/imgmake/debug:latest";

impl Options {
    pub fn image(&self) -> &str {
        self.image.as_deref().unwrap_or(IMAGE)
    }

    /// Whether something that was asked for names this.
    pub fn mentions(&self, text: &str) -> bool {
        let values = self.variables.iter().map(|(_, value)| value);
        values.chain(&self.cache).any(|value| value.contains(text))
    }

    /// The suffix keeps apart what jobs of others write.
    pub fn variables(&self, suffix: &str) -> Map<String, Value> {
        let cache = self.cache.iter();
        let own = cache.map(|cache| (CACHE.to_string(), with_suffix(cache, suffix)));
        let given = self.variables.iter().cloned();
        own.chain(given)
            .map(|(name, value)| (name, Value::String(value)))
            .collect()
    }

    /// A path of the manifest, from the checkout.
    pub fn path(&self, file: &str) -> String {
        match self.directory.as_str() {
            directory if directory.is_empty() || file.starts_with('/') => file.to_string(),
            directory => format!("{directory}/{file}"),
        }
    }
}

/// The cache with another repository: options stay behind a comma, a tag behind its colon.
fn with_suffix(cache: &str, suffix: &str) -> String {
    // Commas and colons in expressions of the system are its own.
    let plain = blanked(cache);
    let mut fields = Vec::new();
    let mut start = 0;
    for field in plain.split(',') {
        fields.push((start, field));
        start += field.len() + 1;
    }
    let named = fields.iter().rev().find_map(|(start, field)| {
        let (key, value) = field.split_once('=')?;
        (key.trim() == "ref").then_some((start + key.len() + 1, value))
    });
    let first = || fields.first().copied();
    let Some((start, reference)) = named.or_else(first) else {
        return cache.to_string();
    };
    let name = reference.trim_end().trim_end_matches('/');
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let tag = name[last..].find([':', '@']).map(|at| last + at);
    let (before, after) = cache.split_at(start + tag.unwrap_or(name.len()));
    format!("{before}{suffix}{after}")
}

/// As long, with nothing in `${{ … }}` and `${…}`.
fn blanked(text: &str) -> String {
    let mut left = text;
    let mut blanked = String::new();
    while let Some(at) = left.find("${") {
        let end = match left[at..].starts_with("${{") {
            true => "}}",
            false => "}",
        };
        let length = left[at..]
            .find(end)
            .map_or(left.len() - at, |it| it + end.len());
        blanked.push_str(&left[..at]);
        blanked.push_str(&"x".repeat(length));
        left = &left[at + length..];
    }
    blanked + left
}
