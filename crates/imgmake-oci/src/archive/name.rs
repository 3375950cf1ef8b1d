//! The names that archives give to images.

use crate::error::{OciError, Result};

use crate::image::Reference;

/// A name with a tag, in the forms that different readers look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// `docker.io/acme/app:1`, containerd's annotation.
    pub full: String,
    /// `acme/app:1`, docker's RepoTags.
    pub familiar: String,
    /// `1`, OCI's `ref.name`.
    pub tag: String,
}

impl Name {
    /// Without a tag it is `latest`.
    pub fn parse(text: &str) -> Result<Name> {
        let reference: Reference = text.parse()?;
        let Some(tag) = reference.tag_or_latest() else {
            let why = "an archive needs a tag (`name:tag`), not a digest";
            return Err(OciError::invalid(format!("name `{text}`"), why));
        };
        let tagged = reference.with_tag(tag);
        Ok(Name {
            full: tagged.to_string(),
            familiar: tagged.familiar(),
            tag: tag.to_string(),
        })
    }

    /// Sorted, each once: the order in which tags were written says nothing.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Name>> {
        let mut names = texts
            .iter()
            .map(|text| Name::parse(text))
            .collect::<Result<Vec<Name>>>()?;
        names.sort_by(|a, b| a.full.cmp(&b.full));
        names.dedup();
        Ok(names)
    }
}
