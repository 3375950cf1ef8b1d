//! Second opinions: umoci on what our layers unpack to, buildah on what a
//! Dockerfile means.

use std::path::Path;
use std::process::Command;

use imgmake_oci::archive;

use super::case::Case;
use super::text::Image;
use super::workshop::Workshop;
use crate::ground::images::{busybox, path};
use crate::ground::{temporary, tree};

/// Fails unless umoci finds exactly the described paths.
pub fn umoci_unpacks(workshop: &Workshop, image: &Image) {
    let directory = temporary();
    let file = directory.path().join("image.tar");
    archive::write_oci_archive(&workshop.store, &image.root, &[], &file).unwrap();
    let unpacked = tree::unpack(&format!("oci-archive:{}", file.display()));
    for line in image.tree().lines() {
        let (about, described) = line.split_once(" /").unwrap();
        if described.is_empty() {
            continue;
        }
        let named = described.split(' ').next().unwrap();
        let found = unpacked.tree.get(named);
        if about == "gone" {
            assert!(found.is_none(), "{line}, and umoci finds {found:?}");
            continue;
        }
        let found = found.unwrap_or_else(|| panic!("{line}, and umoci does not find it"));
        let owner = about.split(' ').next_back().unwrap();
        assert!(found.contains(&format!(" {owner} ")), "{line}: {found}");
    }
}

/// Fails unless umoci unpacks two images to the same tree, numbers of links included.
pub fn umoci_finds_the_same(workshop: &Workshop, one: &Image, other: &Image) {
    let unpacked = |image: &Image| {
        let directory = temporary();
        let file = directory.path().join("image.tar");
        archive::write_oci_archive(&workshop.store, &image.root, &[], &file).unwrap();
        tree::unpack(&format!("oci-archive:{}", file.display())).tree
    };
    tree::assert_same(&unpacked(one), &unpacked(other));
}

/// One storage for all cases, with the base as `busybox`.
pub struct Buildah {
    directory: tempfile::TempDir,
}

impl Buildah {
    pub fn new() -> Buildah {
        let buildah = Buildah {
            directory: temporary(),
        };
        let base = format!("oci:{}:base", busybox().display());
        let id = buildah.run(Path::new("/"), &["pull", "-q", &base]).unwrap();
        buildah
            .run(Path::new("/"), &["tag", id.trim(), "busybox"])
            .unwrap();
        buildah
    }

    pub fn build(&self, workshop: &Workshop, case: &Case) -> Result<Image, String> {
        let place = workshop.place(case);
        let asked = &case.request;
        let file = place.join("Dockerfile");
        let mut arguments: Vec<String> = ["bud", "-q", "--layers=false", "--format", "docker"]
            .iter()
            .chain(&[
                "--pull=never",
                "--isolation",
                "chroot",
                "-t",
                "case",
                "-f",
                path(&file),
            ])
            .map(ToString::to_string)
            .collect();
        for (name, file) in &asked.images {
            let (file, context) = (place.join(file), place.join("context"));
            let parent = [
                "bud",
                "-q",
                "--layers=false",
                "--format",
                "docker",
                "--pull=never",
            ];
            let rest = [
                "--isolation",
                "chroot",
                "-t",
                name,
                "-f",
                path(&file),
                path(&context),
            ];
            self.run(&place, &[&parent[..], &rest[..]].concat())?;
        }
        for (name, value) in &workshop.arguments(case) {
            arguments.push(format!("--build-arg={name}={value}"));
        }
        for (name, value) in &asked.labels {
            arguments.push(format!("--label={name}={value}"));
        }
        for (name, folder) in &asked.contexts {
            let folder = place.join("context").join(folder);
            arguments.push(format!("--build-context={name}={}", folder.display()));
        }
        for (id, value) in &asked.secrets {
            let secret = place.join(format!("secret-{id}"));
            std::fs::write(&secret, value).unwrap();
            arguments.push(format!("--secret=id={id},src={}", secret.display()));
        }
        for id in asked.secret_files.iter().map(|(id, _)| id) {
            let secret = place.join(format!("secret-file-{id}"));
            arguments.push(format!("--secret=id={id},src={}", secret.display()));
        }
        for id in &asked.ssh {
            let socket = workshop.agent().socket();
            arguments.push(format!("--ssh={id}={}", socket.display()));
        }
        arguments.extend(asked.stage.iter().map(|stage| format!("--target={stage}")));
        arguments.extend(asked.platforms.iter().map(|p| format!("--platform={p}")));
        arguments.push(path(&place.join("context")).to_string());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.run(&place, &arguments)?;
        let archive = place.join("buildah.tar");
        let to = format!("oci-archive:{}", archive.display());
        self.run(&place, &["push", "-q", "--format", "v2s2", "case", &to])
            .or_else(|_| self.run(&place, &["push", "-q", "case", &to]))?;
        let read = archive::read(&workshop.store, &archive, None).map_err(|e| format!("{e:#}"))?;
        Ok(workshop.read(case, &read.root))
    }

    fn run(&self, here: &Path, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("buildah")
            .arg("--root")
            .arg(self.directory.path().join("root"))
            .arg("--runroot")
            .arg(self.directory.path().join("run"))
            .args(["--storage-driver", "overlay"])
            .args(arguments)
            .current_dir(here)
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
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
