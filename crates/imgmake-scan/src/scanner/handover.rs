//! The image as files, for programs that read no store. Made when first asked
//! for, gone afterwards.

use std::path::PathBuf;

use crate::error::Result;
use imgmake_oci::archive;
use imgmake_oci::image::Descriptor;
use imgmake_oci::store::Store;

pub struct Handover<'a> {
    store: &'a Store,
    image: &'a Descriptor,
    directory: tempfile::TempDir,
}

impl<'a> Handover<'a> {
    pub fn new(store: &'a Store, image: &'a Descriptor) -> Result<Handover<'a>> {
        let directory = tempfile::Builder::new()
            .prefix("scan-")
            .tempdir_in(store.temporary_dir()?)?;
        Ok(Handover {
            store,
            image,
            directory,
        })
    }

    /// A docker archive: what Trivy, Grype and most others read.
    pub fn archive(&self) -> Result<PathBuf> {
        let path = self.directory.path().join("image.tar");
        if !path.exists() {
            archive::write_docker(self.store, &[(self.image.clone(), Vec::new())], &path)?;
        }
        Ok(path)
    }

    /// An OCI layout.
    pub fn layout(&self) -> Result<PathBuf> {
        let path = self.directory.path().join("layout");
        if !path.exists() {
            archive::write_layout(self.store, self.image, &[], &path)?;
        }
        Ok(path)
    }

    /// Where a report may be written.
    pub fn report(&self) -> PathBuf {
        self.directory.path().join("report.json")
    }
}
