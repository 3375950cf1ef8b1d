//! Which reports a step writes, and where: what the next steps and the platform read.

/// Files that the platform reads after the step; paths start at the working directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultFiles {
    pub artifact: Option<String>,
    /// `Docker`, `ECR`, …: `registryType` in the artifact file.
    pub registry_type: String,
    pub registry_url: String,
    /// Dotenv lines for the next steps (`DRONE_OUTPUT`).
    pub output: Option<String>,
    /// The archive that those lines name as IMAGE_TAR_PATH.
    pub image_tar: Option<String>,
    pub digest: Vec<String>,
    /// A JSON line `{"name":…,"digest":…}` for each name.
    pub images: Option<String>,
    pub name_with_digest: Vec<String>,
    pub name_tag_with_digest: Vec<String>,
    pub metadata: Option<String>,
    pub cache_metrics: Option<String>,
    pub card: Option<String>,
}

impl ResultFiles {
    /// Whether the step is asked for one.
    pub fn any(&self) -> bool {
        let lists = [
            &self.digest,
            &self.name_with_digest,
            &self.name_tag_with_digest,
        ];
        let files = [
            &self.artifact,
            &self.output,
            &self.images,
            &self.metadata,
            &self.cache_metrics,
            &self.card,
        ];
        lists.iter().any(|list| !list.is_empty()) || files.iter().any(|file| file.is_some())
    }
}
