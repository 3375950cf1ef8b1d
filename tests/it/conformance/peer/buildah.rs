//! buildah: one storage for all cases.

use std::path::Path;
use std::process::Command;

use imgmake_dockerfile::compat::{Builder, Version};

use super::super::case::Case;
use super::super::text::Image;
use super::super::workshop::Workshop;
use super::{Peer, arguments, output, program, read};
use crate::ground::images::{busybox, path};
use crate::ground::temporary;

pub struct Buildah {
    program: String,
    directory: tempfile::TempDir,
    version: Version,
}

const BUILD: [&str; 8] = [
    "bud",
    "-q",
    "--layers=false",
    "--format",
    "docker",
    "--pull=never",
    "--isolation",
    "chroot",
];

impl Buildah {
    pub fn new() -> Buildah {
        let program = std::env::var("BUILDAH").unwrap_or_else(|_| "buildah".into());
        let told = output(Command::new(&program).arg("--version")).unwrap();
        // buildah version 1.28.2 (image-spec …)
        let version = told.split(' ').nth(2).and_then(Version::parse);
        let buildah = Buildah {
            version: version.unwrap_or_else(|| panic!("no version: {told}")),
            program,
            directory: temporary(),
        };
        let base = format!("oci:{}:base", busybox().display());
        let id = buildah.run(Path::new("/"), &["pull", "-q", &base]).unwrap();
        let tag = ["tag", id.trim(), "localhost/busybox"];
        buildah.run(Path::new("/"), &tag).unwrap();
        buildah
    }

    /// One directory with a Dockerfile and a context; `to` is an OCI archive.
    pub fn build_to(&self, place: &Path, more: &[String], to: &Path) -> Result<(), String> {
        let (file, context) = (place.join("Dockerfile"), place.join("context"));
        let mut arguments = BUILD.to_vec();
        arguments.extend(["-t", "case", "-f", path(&file)]);
        arguments.extend(more.iter().map(String::as_str));
        arguments.push(path(&context));
        self.run(place, &arguments)?;
        let to = format!("oci-archive:{}", to.display());
        self.run(place, &["push", "-q", "--format", "v2s2", "case", &to])
            .or_else(|_| self.run(place, &["push", "-q", "case", &to]))?;
        Ok(())
    }

    fn run(&self, here: &Path, arguments: &[&str]) -> Result<String, String> {
        output(
            program(&self.program)
                .arg("--root")
                .arg(self.directory.path().join("root"))
                .arg("--runroot")
                .arg(self.directory.path().join("run"))
                .args(["--storage-driver", "overlay"])
                .args(arguments)
                .current_dir(here),
        )
    }
}

impl Peer for Buildah {
    fn builder(&self) -> Builder {
        Builder::Buildah
    }

    fn version(&self) -> &Version {
        &self.version
    }

    fn build(&self, workshop: &Workshop, case: &Case) -> Result<Image, String> {
        let place = workshop.place(case);
        let asked = &case.request;
        for (name, file) in &asked.images {
            let (file, context) = (place.join(file), place.join("context"));
            let rest = ["-t", name, "-f", path(&file), path(&context)];
            self.run(&place, &[&BUILD[..], &rest[..]].concat())?;
        }
        let arguments = arguments(workshop, case, &place);
        let archive = place.join("buildah.tar");
        self.build_to(&place, &arguments, &archive)?;
        read(workshop, case, &archive)
    }
}

impl Drop for Buildah {
    fn drop(&mut self) {
        // Builds that failed leave containers, and these their mounts.
        for leave in [["rm", "-a"], ["rmi", "-af"]] {
            drop(self.run(Path::new("/"), &leave));
        }
        // Its mount holds the directory.
        let mount = self.directory.path().join("root/overlay");
        drop(Command::new("umount").arg("-R").arg(mount).output());
    }
}
