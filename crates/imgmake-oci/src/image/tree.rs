//! All manifests and indexes behind a root, read once.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::ParseError;
use super::{Descriptor, Digest, ImageManifest, ManifestOrIndex, Platform};

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

impl ImageTree {
    /// Reads each document once, at most `deepest` levels below the root.
    ///
    /// # Errors
    /// The first document that cannot be had or read, in the order of the indexes.
    pub fn read<E>(
        root: &Descriptor,
        deepest: u32,
        read: impl FnMut(&Descriptor) -> Result<Vec<u8>, E>,
    ) -> Result<ImageTree, TreeError<E>> {
        let mut reading = Reading {
            read,
            deepest,
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
        let parts = self.parts().into_iter();
        parts.map(|part| (part.named, part.document)).collect()
    }

    /// The manifests, in the order of the indexes.
    pub fn manifests(&self) -> impl Iterator<Item = (&Descriptor, &ImageManifest)> {
        let parts = self.parts().into_iter();
        parts.filter_map(|part| Some((part.named, part.manifest()?)))
    }

    /// The manifests but attestations: everything that a runtime could be brought to run.
    pub fn images(&self) -> impl Iterator<Item = (&Descriptor, &ImageManifest)> {
        let parts = self.parts().into_iter().filter(|p| !p.is_attestation());
        parts.filter_map(|part| Some((part.named, part.manifest()?)))
    }

    /// The attestations, with the image that each is of.
    pub fn attestations(&self) -> impl Iterator<Item = (&Descriptor, Digest)> {
        let parts = self.parts().into_iter().filter(Part::is_attestation);
        parts.filter_map(|part| Some((part.named, part.attested()?)))
    }

    fn parts(&self) -> Vec<Part<'_>> {
        let root = self.documents.last().expect("a tree has its root");
        let mut found = Vec::new();
        let mut followed = BTreeSet::new();
        let mut waiting = vec![Part {
            named: &root.descriptor,
            document: root,
            siblings: &[],
        }];
        while let Some(part) = waiting.pop() {
            let document = part.document;
            let is_manifest = document.children.is_empty();
            found.push(part);
            if !is_manifest && !followed.insert(&document.descriptor.digest) {
                found.pop();
                continue;
            }
            let children = document.children.iter().rev();
            waiting.extend(children.map(|(named, at)| Part {
                named,
                document: &self.documents[*at],
                siblings: &document.children,
            }));
        }
        found
    }
}

/// A document, as one index names it.
struct Part<'a> {
    named: &'a Descriptor,
    document: &'a Document,
    /// Everything in that index.
    siblings: &'a [(Descriptor, usize)],
}

impl<'a> Part<'a> {
    fn manifest(&self) -> Option<&'a ImageManifest> {
        match &self.document.content {
            ManifestOrIndex::Manifest(manifest) => Some(manifest),
            ManifestOrIndex::Index(_) => None,
        }
    }

    /// What BuildKit puts beside an image: called an attestation, for no platform that a runtime looks
    /// for, made of in-toto statements alone, of an image in the same index. What only says so of
    /// itself may be an image.
    fn is_attestation(&self) -> bool {
        let is_nowhere = |p: &Platform| p.os == "unknown" && p.architecture == "unknown";
        let kind = self.named.annotations.get(REFERENCE_TYPE);
        let statements = |manifest: &ImageManifest| {
            let is_statement = |layer: &Descriptor| layer.media_type == IN_TOTO;
            !manifest.layers.is_empty() && manifest.layers.iter().all(is_statement)
        };
        kind.map(String::as_str) == Some(ATTESTATION)
            && self.named.platform.as_ref().is_some_and(is_nowhere)
            && self.manifest().is_some_and(statements)
            && self.attested().is_some()
    }

    /// The other child of its index that it says to be of, unless that is called an attestation itself.
    fn attested(&self) -> Option<Digest> {
        let of = self.named.annotations.get(REFERENCE_DIGEST)?;
        let is_called = |named: &Descriptor| named.annotations.contains_key(REFERENCE_TYPE);
        let called = self.siblings.iter().filter(|(named, _)| is_called(named));
        let called: BTreeSet<&Digest> = called.map(|(named, _)| &named.digest).collect();
        let others = self.siblings.iter().map(|(sibling, _)| &sibling.digest);
        let mut others = others.filter(|d| **d != self.named.digest && !called.contains(d));
        others.find(|digest| digest.as_str() == of).cloned()
    }
}

/// By which BuildKit says what a child of an index is, and of which other child.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
const ATTESTATION: &str = "attestation-manifest";

/// By what annotations an index names statements about another of its children.
pub fn attestation_of(image: &Digest) -> BTreeMap<String, String> {
    BTreeMap::from([
        (REFERENCE_TYPE.to_string(), ATTESTATION.to_string()),
        (REFERENCE_DIGEST.to_string(), image.to_string()),
    ])
}

/// The media type of statements (in-toto attestation framework, "Media types").
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// Whether a manifest is that of an image to be run. Attestations have the platform `unknown/unknown`; artifacts another config.
pub fn is_image(descriptor: &Descriptor, manifest: &ImageManifest) -> bool {
    let attestation = descriptor
        .platform
        .as_ref()
        .is_some_and(|p| p.os == "unknown")
        || descriptor.annotations.contains_key(REFERENCE_TYPE);
    manifest.is_image() && !attestation
}

struct Reading<R> {
    read: R,
    deepest: u32,
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
        if depth > self.deepest {
            return Err(TreeError::TooDeep { digest: digest() });
        }
        let invalid = |error| TreeError::Invalid {
            digest: digest(),
            error,
        };
        if let Some(place) = self.places.get(&at.digest) {
            // Whoever names it otherwise may want another reading of the same bytes.
            let content = &self.documents[*place].content;
            content.is_said(&at.media_type).map_err(invalid)?;
            return Ok(*place);
        }
        let bytes = (self.read)(at).map_err(|error| TreeError::Read {
            digest: digest(),
            error,
        })?;
        let content = ManifestOrIndex::parse(&bytes, Some(&at.media_type)).map_err(invalid)?;
        content.is_said(&at.media_type).map_err(invalid)?;
        let mut children = Vec::new();
        if let ManifestOrIndex::Index(index) = &content {
            for child in &index.manifests {
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

        fn tree(&self, root: &Descriptor, deepest: u32) -> Result<ImageTree, TreeError<()>> {
            self.read.borrow_mut().clear();
            ImageTree::read(root, deepest, |descriptor| {
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
        let tree = blobs.tree(&root, DEEPEST).unwrap();
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
        let tree = blobs.tree(&a, DEEPEST).unwrap();
        assert_eq!(named(&tree), [&a.digest]);
    }

    /// As BuildKit names the attestation of an image.
    fn beside(mut descriptor: Descriptor, of: &Descriptor) -> Descriptor {
        descriptor.platform = Some("unknown/unknown".parse().unwrap());
        descriptor.annotations = BTreeMap::from([
            (
                REFERENCE_TYPE.to_string(),
                "attestation-manifest".to_string(),
            ),
            (REFERENCE_DIGEST.to_string(), of.digest.to_string()),
        ]);
        descriptor
    }

    #[test]
    fn only_what_is_an_attestation_is_no_image() {
        let mut blobs = Blobs::default();
        let (app, other) = (blobs.image("app"), blobs.image("other"));
        let mut manifest = |layers: &[&str]| {
            let layers = layers
                .iter()
                .map(|kind| Descriptor::of(*kind, kind.as_bytes()));
            let config = Descriptor::of(media_type::OCI_CONFIG, b"{}");
            let mut manifest = ImageManifest::new(ManifestFormat::Oci, config, Vec::new());
            manifest.layers = layers.collect();
            blobs.put(media_type::OCI_MANIFEST, to_json(&manifest))
        };
        let statements = manifest(&[IN_TOTO, IN_TOTO]);
        let mixed = manifest(&[IN_TOTO, media_type::OCI_LAYER_GZIP]);
        let more = manifest(&[IN_TOTO]);
        let inner = blobs.index(&[&other]);
        let images = |blobs: &Blobs, root: &Descriptor| -> Vec<Digest> {
            let tree = blobs.tree(root, DEEPEST).unwrap();
            let images = tree.images().map(|(named, _)| named.digest.clone());
            images.collect()
        };

        let root = blobs.index(&[&app, &beside(statements.clone(), &app)]);
        assert_eq!(images(&blobs, &root), std::slice::from_ref(&app.digest));
        let tree = blobs.tree(&root, DEEPEST).unwrap();
        let found: Vec<_> = tree.attestations().collect();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&found[0].0.digest, &found[0].1),
            (&statements.digest, &app.digest)
        );

        // Called one, and an image, an index, of something else, or for a platform that runs it.
        let mut elsewhere = beside(statements.clone(), &app);
        elsewhere.platform = Some("linux/arm64".parse().unwrap());
        for (pretends, image) in [
            (beside(other.clone(), &app), &other.digest),
            (beside(mixed.clone(), &app), &mixed.digest),
            (beside(inner, &app), &other.digest),
            (beside(statements.clone(), &other), &statements.digest),
            (beside(statements.clone(), &statements), &statements.digest),
            (elsewhere, &statements.digest),
        ] {
            let root = blobs.index(&[&app, &pretends]);
            assert_eq!(images(&blobs, &root), [app.digest.clone(), image.clone()]);
            assert_eq!(
                blobs.tree(&root, DEEPEST).unwrap().attestations().count(),
                0
            );
        }

        // Of each other: neither is of an image.
        for (one, two) in [(&more, &statements), (&app, &more)] {
            let children = [
                &app,
                &beside(statements.clone(), one),
                &beside(more.clone(), two),
            ];
            let root = blobs.index(&children);
            let count = blobs.tree(&root, DEEPEST).unwrap().attestations().count();
            assert_eq!(count, usize::from(one.digest == app.digest));
        }
    }

    #[test]
    fn indexes_nested_too_deeply_and_documents_of_another_kind_are_refused() {
        let mut blobs = Blobs::default();
        let mut root = blobs.image("a");
        for _ in 0..DEEPEST {
            root = blobs.index(&[&root]);
        }
        assert!(blobs.tree(&root, DEEPEST).is_ok());
        root = blobs.index(&[&root]);
        assert!(matches!(
            blobs.tree(&root, DEEPEST),
            Err(TreeError::TooDeep { .. })
        ));
        // The same bytes, named as something else; at first, or later.
        let image = blobs.image("b");
        let renamed = Descriptor {
            media_type: media_type::OCI_INDEX.to_string(),
            ..image.clone()
        };
        let disguised = blobs.index(&[&image]);
        let disguised = Descriptor {
            media_type: media_type::OCI_MANIFEST.to_string(),
            ..disguised
        };
        let (config, empty) = (r#"{"schemaVersion":2,"config":1"#, r#""manifests":[]}"#);
        let both = format!("{config},{empty}").into_bytes();
        let both = blobs.put(media_type::OCI_MANIFEST, both);
        let bare = format!("{config}}}").into_bytes();
        let bare = blobs.put(media_type::OCI_INDEX, bare);
        for children in [
            vec![&renamed],
            vec![&image, &renamed],
            vec![&disguised],
            vec![&both],
            vec![&bare],
        ] {
            let root = blobs.index(&children);
            let last = children.last().unwrap();
            assert!(matches!(
                blobs.tree(&root, DEEPEST),
                Err(TreeError::Invalid { digest, error: ParseError::OtherKind(_) | ParseError::Both })
                    if digest == last.digest
            ));
        }
        let text = blobs.put(media_type::OCI_MANIFEST, b"{}".to_vec());
        assert!(matches!(
            blobs.tree(&text, DEEPEST),
            Err(TreeError::Invalid { digest, .. }) if digest == text.digest
        ));
    }
}
