//! All manifests and indexes behind a root, read once.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::ParseError;
use super::{Descriptor, Digest, ImageManifest, ManifestOrIndex, media_type};

/// An index in an index in an index is a trap: below the root there are at most as many levels.
pub const DEEPEST: u32 = 4;

/// One manifest or index.
#[derive(Clone, Debug)]
pub struct Document {
    /// As whoever names it first describes it.
    pub descriptor: Descriptor,
    pub bytes: Vec<u8>,
    pub content: ManifestOrIndex,
    /// Of an index: what it names, and where that is among the documents.
    children: Vec<(Descriptor, usize)>,
}

/// A manifest, or an index with all that it leads to.
#[derive(Clone, Debug)]
pub struct ImageTree {
    /// Each once, children before the index that names them.
    documents: Vec<Document>,
}

/// Why a tree cannot be read.
#[derive(Debug)]
pub enum TreeError<E> {
    /// The bytes of a document cannot be had.
    Read { digest: Digest, error: E },
    /// A document is neither manifest nor index.
    Invalid { digest: Digest, error: ParseError },
    /// It lies deeper than was allowed.
    TooDeep { digest: Digest },
}

/// What of a tree is read.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Levels below the root.
    pub deepest: u32,
    /// Which children of an index count.
    pub wanted: fn(&Descriptor) -> bool,
}

impl Default for Reach {
    fn default() -> Reach {
        Reach {
            deepest: DEEPEST,
            wanted: |_| true,
        }
    }
}

impl ImageTree {
    /// Reads each document once.
    ///
    /// # Errors
    /// The first document that cannot be had or read, in the order of the indexes.
    pub fn read<E>(
        root: &Descriptor,
        reach: Reach,
        read: impl FnMut(&Descriptor) -> Result<Vec<u8>, E>,
    ) -> Result<ImageTree, TreeError<E>> {
        let mut reading = Reading {
            read,
            reach,
            places: BTreeMap::new(),
            documents: Vec::new(),
        };
        reading.document(root, 0)?;
        Ok(ImageTree {
            documents: reading.documents,
        })
    }

    /// Each document once, children before the index that names them, the root last.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    pub fn into_documents(self) -> Vec<Document> {
        self.documents
    }

    /// From the root downwards in the order of the indexes, with the descriptor by which each is
    /// named. A manifest that is named twice is there twice; an index is followed once.
    pub fn walk(&self) -> Vec<(&Descriptor, &Document)> {
        let root = self.documents.last().expect("a tree has its root");
        let mut found = Vec::new();
        let mut followed = BTreeSet::new();
        let mut waiting = vec![(&root.descriptor, root)];
        while let Some((descriptor, document)) = waiting.pop() {
            let is_manifest = document.children.is_empty();
            if !is_manifest && !followed.insert(&document.descriptor.digest) {
                continue;
            }
            found.push((descriptor, document));
            let children = document.children.iter().rev();
            waiting.extend(children.map(|(named, at)| (named, &self.documents[*at])));
        }
        found
    }

    /// The image manifests, in the order of the indexes.
    pub fn manifests(&self) -> impl Iterator<Item = (&Descriptor, &ImageManifest)> {
        self.walk()
            .into_iter()
            .filter_map(|(descriptor, document)| match &document.content {
                ManifestOrIndex::Manifest(manifest) => Some((descriptor, manifest)),
                ManifestOrIndex::Index(_) => None,
            })
    }
}

/// Whether a manifest is that of an image to be run. Attestations have the platform `unknown/unknown`; artifacts another config.
pub fn is_image(descriptor: &Descriptor, manifest: &ImageManifest) -> bool {
    let known_config = matches!(
        manifest.config.media_type.as_str(),
        media_type::OCI_CONFIG | media_type::DOCKER_CONFIG
    );
    let attestation = descriptor
        .platform
        .as_ref()
        .is_some_and(|p| p.os == "unknown")
        || descriptor
            .annotations
            .contains_key("vnd.docker.reference.type");
    known_config && !attestation
}

struct Reading<R> {
    read: R,
    reach: Reach,
    places: BTreeMap<Digest, usize>,
    documents: Vec<Document>,
}

impl<R> Reading<R> {
    /// The place of a document, which is read if it was not yet.
    fn document<E>(&mut self, at: &Descriptor, depth: u32) -> Result<usize, TreeError<E>>
    where
        R: FnMut(&Descriptor) -> Result<Vec<u8>, E>,
    {
        let digest = || at.digest.clone();
        if depth > self.reach.deepest {
            return Err(TreeError::TooDeep { digest: digest() });
        }
        if let Some(place) = self.places.get(&at.digest) {
            return Ok(*place);
        }
        let bytes = (self.read)(at).map_err(|error| TreeError::Read {
            digest: digest(),
            error,
        })?;
        let content = ManifestOrIndex::parse(&bytes, Some(&at.media_type)).map_err(|error| {
            TreeError::Invalid {
                digest: digest(),
                error,
            }
        })?;
        let mut children = Vec::new();
        if let ManifestOrIndex::Index(index) = &content {
            let wanted = self.reach.wanted;
            for child in index.manifests.iter().filter(|child| wanted(child)) {
                children.push((child.clone(), self.document(child, depth + 1)?));
            }
        }
        let place = self.documents.len();
        self.places.insert(digest(), place);
        self.documents.push(Document {
            descriptor: at.clone(),
            bytes,
            content,
            children,
        });
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::{ImageIndex, ManifestFormat, media_type, to_json};
    use super::*;

    #[derive(Default)]
    struct Blobs {
        blobs: BTreeMap<Digest, Vec<u8>>,
        read: RefCell<Vec<Digest>>,
    }

    impl Blobs {
        fn put(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
            let descriptor = Descriptor::of(media_type, &bytes);
            self.blobs.insert(descriptor.digest.clone(), bytes);
            descriptor
        }

        fn image(&mut self, name: &str) -> Descriptor {
            let config = Descriptor::of(media_type::OCI_CONFIG, name.as_bytes());
            let manifest = ImageManifest::new(ManifestFormat::Oci, config, Vec::new());
            self.put(media_type::OCI_MANIFEST, to_json(&manifest))
        }

        fn index(&mut self, children: &[&Descriptor]) -> Descriptor {
            let children = children.iter().map(|child| (*child).clone()).collect();
            let index = ImageIndex::new(ManifestFormat::Oci, children);
            self.put(media_type::OCI_INDEX, to_json(&index))
        }

        fn tree(&self, root: &Descriptor, reach: Reach) -> Result<ImageTree, TreeError<()>> {
            self.read.borrow_mut().clear();
            ImageTree::read(root, reach, |descriptor| {
                self.read.borrow_mut().push(descriptor.digest.clone());
                self.blobs.get(&descriptor.digest).cloned().ok_or(())
            })
        }
    }

    fn named(tree: &ImageTree) -> Vec<&Digest> {
        tree.walk().into_iter().map(|(d, _)| &d.digest).collect()
    }

    #[test]
    fn documents_are_read_once_and_walked_as_the_indexes_name_them() {
        let mut blobs = Blobs::default();
        let (a, b) = (blobs.image("a"), blobs.image("b"));
        let inner = blobs.index(&[&b, &a]);
        let root = blobs.index(&[&a, &inner, &a, &inner]);
        let tree = blobs.tree(&root, Reach::default()).unwrap();
        assert_eq!(blobs.read.borrow().len(), 4);
        let order: Vec<&Digest> = tree
            .documents()
            .iter()
            .map(|d| &d.descriptor.digest)
            .collect();
        assert_eq!(order, [&a.digest, &b.digest, &inner.digest, &root.digest]);
        let walked = [&root, &a, &inner, &b, &a, &a].map(|d| &d.digest);
        assert_eq!(named(&tree), walked);
        assert_eq!(tree.manifests().count(), 4);
    }

    #[test]
    fn a_manifest_alone_is_its_own_root() {
        let mut blobs = Blobs::default();
        let a = blobs.image("a");
        let tree = blobs.tree(&a, Reach::default()).unwrap();
        assert_eq!(named(&tree), [&a.digest]);
    }

    #[test]
    fn unwanted_children_are_not_even_read() {
        let mut blobs = Blobs::default();
        let mut absent = blobs.image("attestation");
        blobs.blobs.clear();
        absent.artifact_type = Some("attestation".to_string());
        let a = blobs.image("a");
        let root = blobs.index(&[&a, &absent]);
        let reach = Reach {
            wanted: |child| child.artifact_type.is_none(),
            ..Reach::default()
        };
        assert_eq!(
            named(&blobs.tree(&root, reach).unwrap()),
            [&root.digest, &a.digest]
        );
        assert!(matches!(
            blobs.tree(&root, Reach::default()),
            Err(TreeError::Read { digest, .. }) if digest == absent.digest
        ));
    }

    #[test]
    fn indexes_nested_too_deeply_and_documents_of_another_kind_are_refused() {
        let mut blobs = Blobs::default();
        let mut root = blobs.image("a");
        for _ in 0..DEEPEST {
            root = blobs.index(&[&root]);
        }
        assert!(blobs.tree(&root, Reach::default()).is_ok());
        root = blobs.index(&[&root]);
        assert!(matches!(
            blobs.tree(&root, Reach::default()),
            Err(TreeError::TooDeep { .. })
        ));
        let text = blobs.put(media_type::OCI_MANIFEST, b"{}".to_vec());
        assert!(matches!(
            blobs.tree(&text, Reach::default()),
            Err(TreeError::Invalid { digest, .. }) if digest == text.digest
        ));
    }
}
