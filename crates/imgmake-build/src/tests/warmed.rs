//! Base images from a directory that kaniko's warmer has filled. No registry is there to ask.

use std::time::Duration;

use super::*;
use imgmake_oci::image::Digest;
use imgmake_oci::layer::{Entry, LayerWriter};

const NOWHERE: &str = "127.0.0.1:9/os";

/// An image as the warmer keeps it: `<digest>` and `<digest>.json`.
fn warmed(directory: &Path) -> Digest {
    let p = Project::new();
    p.write("etc/os", "one\n");
    let image = p.build("FROM scratch\nCOPY etc /etc\nENV OS=one\n");
    let digest = image.built.root.digest;
    let read = |digest: &Digest| std::fs::read(p.engine.store.blob_path(digest)).unwrap();
    let archive = std::fs::File::create(directory.join(digest.as_str())).unwrap();
    let mut writer = LayerWriter::new(archive, Compression::None).unwrap();
    let mut put = |name: String, bytes: &[u8]| {
        let entry = Entry::file(name, 0o644, bytes.len() as u64);
        writer.append(&entry, &mut &bytes[..]).unwrap();
    };
    let config = &image.manifest.config.digest;
    put(config.to_string(), &read(config));
    for layer in &image.manifest.layers {
        put(
            format!("{}.tar.gz", layer.digest.hex()),
            &read(&layer.digest),
        );
    }
    put("manifest.json".into(), b"[]");
    writer.finish().unwrap();
    std::fs::write(directory.join(format!("{digest}.json")), read(&digest)).unwrap();
    digest
}

fn project(directory: &Path, ttl: Option<Duration>) -> Project {
    let mut p = Project::new();
    p.engine.warmed = Some(Warmed {
        directory: directory.to_path_buf(),
        ttl,
    });
    p
}

#[test]
fn a_base_that_was_warmed_needs_no_registry() {
    let directory = tempfile::tempdir().unwrap();
    let digest = warmed(directory.path());
    let p = project(directory.path(), Some(Duration::from_secs(3600)));
    let image = p.build(&format!(
        "FROM {NOWHERE}@{digest} AS os\nFROM os\nCOPY --from=os /etc/os /copied\n"
    ));
    assert!(image.config.config.env.contains(&"OS=one".to_string()));
    assert!(
        image.files().contains(&"644 0:0 copied 4".to_string()),
        "{:?}",
        image.files()
    );
    let told = p.events.lock().unwrap().iter().any(|event| {
        matches!(event, imgmake_event::Event::Note { message, .. } if message.contains(directory.path().to_str().unwrap()))
    });
    assert!(told);
    assert!(p.warnings().is_empty());
}

#[test]
fn files_that_are_old_missing_or_damaged_are_passed_by() {
    let directory = tempfile::tempdir().unwrap();
    let digest = warmed(directory.path());
    let dockerfile = format!("FROM {NOWHERE}@{digest}\nWORKDIR /x\n");
    let archive = directory.path().join(digest.as_str());
    let old = std::time::SystemTime::now() - Duration::from_secs(7200);
    filetime::set_file_mtime(&archive, old.into()).unwrap();
    let p = project(directory.path(), Some(Duration::from_secs(3600)));
    assert!(
        p.error(&dockerfile)
            .contains("cannot resolve the base image")
    );
    let p = project(directory.path(), None);
    let bytes = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    // What was read before the damage may be enough for this one.
    drop(p.run(&p.request(&dockerfile)));
    assert!(
        p.warnings()[0].contains("is not used, and it is pulled"),
        "{:?}",
        p.warnings()
    );
    std::fs::write(directory.path().join(format!("{digest}.json")), "{}").unwrap();
    let p = project(directory.path(), None);
    p.error(&dockerfile);
    assert!(
        p.warnings()[0].contains("is not the manifest of"),
        "{:?}",
        p.warnings()
    );
    std::fs::remove_file(&archive).unwrap();
    let p = project(directory.path(), None);
    p.error(&dockerfile);
    assert!(p.warnings().is_empty());
}
