//! What the manifest does not say of jobs.

use serde_json::{Map, Value};

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

    pub fn variables(&self) -> Map<String, Value> {
        let own = self.cache.iter().map(|cache| (CACHE.to_string(), cache));
        let given = self
            .variables
            .iter()
            .map(|(name, value)| (name.clone(), value));
        own.chain(given)
            .map(|(name, value)| (name, Value::String(value.clone())))
            .collect()
    }

    /// A path of the manifest, from the checkout.
    pub fn path(&self, file: &str) -> String {
        match self.directory.as_str() {
            "" => file.to_string(),
            directory => format!("{directory}/{file}"),
        }
    }
}
