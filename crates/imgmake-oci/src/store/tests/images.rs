use super::*;

#[test]
fn a_name_finds_its_image_until_the_manifest_is_gone() {
    let (_keep, store) = store();
    let digest = store.put_bytes(b"{}").unwrap();
    let manifest = Descriptor::new(ManifestFormat::Oci.manifest(), digest.clone(), 2);
    store.tag("acme/app:1", &manifest, None).unwrap();
    assert_eq!(store.tagged("acme/app:1"), Some(manifest));
    assert_eq!(store.tagged("acme/app:2"), None);
    fs::remove_file(store.blob_path(&digest)).unwrap();
    assert_eq!(store.tagged("acme/app:1"), None);
}

#[test]
fn images_are_found_by_name_digest_and_pattern() {
    let (_keep, store) = store();
    let digest = store.put_bytes(b"{}").unwrap();
    let image = Descriptor::new(ManifestFormat::Oci.manifest(), digest.clone(), 2);
    for name in ["app:1", "app:latest", "registry.example.com/team/app:1"] {
        store.tag(name, &image, None).unwrap();
    }
    let found = |text: &str| -> Vec<String> {
        let found = store.matching(text).into_iter();
        found.map(|(name, _)| name).collect()
    };
    assert_eq!(found("docker.io/library/app:1"), ["app:1"]);
    assert_eq!(found("app"), ["app:latest"]);
    assert_eq!(found("app:*"), ["app:1", "app:latest"]);
    assert_eq!(found("*/team/*"), ["registry.example.com/team/app:1"]);
    assert_eq!(found(&digest.hex()[..12]).len(), 3);
    assert_eq!(found("other"), [""; 0]);
    assert_eq!(store.beginning_with(&digest.to_string(), 2), [digest]);
    store.untag("app:1").unwrap();
    assert_eq!(found("app:1"), [""; 0]);
}
