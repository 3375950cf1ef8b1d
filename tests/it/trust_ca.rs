//! `trust-ca`: a RUN speaks TLS with a server whose certificate only the target knows, in
//! every isolation mode; nothing of that is in the image.

use std::path::Path;

use crate::ground::images::with_curl;
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::web::{Transport, Web};
use crate::ground::{temporary, write};

/// What a user of each isolation mode runs.
fn modes() -> Vec<(&'static str, Imgmake)> {
    [
        ("root", User::Own),
        ("rootless", User::WithSubordinateIds),
        ("single-id", User::Plain),
        ("chroot", User::Own),
    ]
    .into_iter()
    .map(|(mode, user)| (mode, Imgmake::run_by(user).with("IMGMAKE_ISOLATION", mode)))
    .collect()
}

fn project(imgmake: &Imgmake, dockerfile: &str, target: &str) -> tempfile::TempDir {
    let project = temporary();
    let manifest =
        format!("build app {{ context \".\"; tags \"t:1\"; layout \"out\"; {target} }}\n");
    write(project.path(), "imgmake.kdl", manifest);
    let from = format!("FROM {}/library/curl\n", with_curl().host);
    write(project.path(), "Dockerfile", from + dockerfile);
    imgmake.give(project.path());
    project
}

/// Every blob of the layout, unpacked, as one haystack.
fn image(project: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for blob in std::fs::read_dir(project.join("out/blobs/sha256")).unwrap() {
        let bytes = std::fs::read(blob.unwrap().path()).unwrap();
        let mut unpacked = Vec::new();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut reader = flate2::read::MultiGzDecoder::new(&bytes[..]);
            std::io::Read::read_to_end(&mut reader, &mut unpacked).unwrap();
        }
        all.extend(bytes);
        all.extend(unpacked);
    }
    all
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    memchr::memmem::find(haystack, needle.as_bytes()).is_some()
}

#[test]
fn a_run_trusts_the_targets_certificate_in_every_mode_and_the_image_knows_nothing_of_it() {
    let web = Web::start(Transport::Tls, "");
    write(&web.root(), "hello", "over tls\n");
    let certificate = std::fs::read_to_string(web.certificate()).unwrap();
    // Unlike everything else in the image.
    let piece = certificate.lines().nth(3).unwrap();
    let url = format!("https://{}/hello", web.host);
    let dockerfile = format!(
        "RUN mkdir -p /etc/ssl/certs && printf 'the image has its own\\n' > /etc/ssl/certs/ca-certificates.crt\n\
         RUN curl -sSf {url} -o /got && grep -q 'over tls' /got\n\
         USER user\n\
         RUN curl -sSf {url} -o /tmp/got\n\
         USER root\n\
         RUN head -n1 $SSL_CERT_FILE > /first; test $(grep -c BEGIN $SSL_CERT_FILE) = 1; \
             test $(grep -c . $NODE_EXTRA_CA_CERTS) -gt 5; grep -q CaInfo $APT_CONFIG; \
             grep -q ca_certificate $SYSTEM_WGETRC; ! (echo x > $SSL_CERT_FILE) 2>/dev/null || test -w /; \
             echo new > /new.crt && mv /new.crt /etc/ssl/certs/ca-certificates.crt\n\
         ENV CURL_CA_BUNDLE=/of/the/image\n\
         ARG PIP_CERT=/of/the/arg\n\
         RUN test $CURL_CA_BUNDLE = /of/the/image && test $PIP_CERT = /of/the/arg\n\
         RUN --mount=type=tmpfs,target=/run curl --cacert $SSL_CERT_FILE -sSf {url} -o /dev/null\n"
    );
    for (mode, imgmake) in modes() {
        let plain = project(&imgmake, &dockerfile, "");
        let ran = imgmake.run(plain.path(), &[]);
        assert_eq!(
            ran.code, 1,
            "{mode}: without `trust-ca` it fails\n{}",
            ran.stderr
        );

        let project = project(&imgmake, &dockerfile, "trust-ca \"corp.pem\"");
        std::fs::copy(web.certificate(), project.path().join("corp.pem")).unwrap();
        imgmake.give(project.path());
        let ran = imgmake.run(project.path(), &[]);
        assert_eq!(ran.code, 0, "{mode}:\n{}{}", ran.stdout, ran.stderr);
        let image = image(project.path());
        for trace in [
            piece,
            "run/imgmake",
            "ca-bundle.pem",
            "SSL_CERT_FILE=",
            "NODE_EXTRA_CA_CERTS=",
        ] {
            assert!(!holds(&image, trace), "{mode}: `{trace}` is in the image");
        }
        // What a command does with the image's own bundle is in its layer.
        assert!(holds(&image, "the image has its own"), "{mode}");
        assert!(holds(&image, "new.crt") || holds(&image, "new\n"), "{mode}");

        // The certificate is in no key: with another one everything is up to date.
        let other = project.path().join("corp.pem");
        let made = Web::start(Transport::Tls, "");
        std::fs::copy(made.certificate(), &other).unwrap();
        let ran = imgmake.run(project.path(), &["--progress=json"]);
        assert_eq!(ran.code, 0, "{mode}:\n{}", ran.stderr);
        assert!(ran.stdout.contains("fresh"), "{mode}:\n{}", ran.stdout);
    }
}

#[test]
fn an_image_may_keep_anything_where_its_bundle_would_be() {
    let web = Web::start(Transport::Tls, "");
    write(&web.root(), "hello", "over tls\n");
    let url = format!("https://{}/hello", web.host);
    for place in [
        "mkdir -p /etc/ssl/certs && mkfifo /etc/ssl/certs/ca-certificates.crt",
        "mkdir -p /etc/ssl && echo x > /etc/ssl/certs",
        "mkdir -p /etc/ssl/certs/ca-certificates.crt",
        "mkdir -p /etc/ssl && ln -s certs /etc/ssl/certs",
        "mkdir -p /etc/ssl/certs && ln -s ../../../../../../../etc/passwd /etc/ssl/certs/ca-certificates.crt",
    ] {
        let imgmake = Imgmake::new();
        let dockerfile =
            format!("RUN {place}\nRUN curl -sSf {url} -o /got\nRUN cat $SSL_CERT_FILE > /seen\n");
        let project = project(&imgmake, &dockerfile, "trust-ca \"corp.pem\"");
        std::fs::copy(web.certificate(), project.path().join("corp.pem")).unwrap();
        imgmake.ok(project.path(), &[]);
        // A link leads into the image, never out of it.
        let host = std::fs::read_to_string("/etc/passwd").unwrap();
        let host = host.lines().last().unwrap();
        assert!(!holds(&image(project.path()), host), "{place}");
    }
}

#[test]
fn a_file_that_holds_no_certificate_is_an_error_at_its_place() {
    let imgmake = Imgmake::new();
    let project = project(&imgmake, "RUN true\n", "trust-ca \"corp.pem\"");
    let refused = |why: &str| {
        let says = [
            "cannot use the certificates `corp.pem`",
            "imgmake.kdl:1",
            why,
        ];
        drop(imgmake.refused(project.path(), &[], 1, &says));
    };
    refused("No such file");
    let web = Web::start(Transport::Tls, "");
    let certificate = std::fs::read_to_string(web.certificate()).unwrap();
    let key = std::fs::read_to_string(web.certificate().with_extension("key")).unwrap();
    for (text, why) in [
        (String::new(), "no `-----BEGIN CERTIFICATE-----`"),
        ("hello".to_string(), "no `-----BEGIN CERTIFICATE-----`"),
        (format!("{certificate}{key}"), "private key"),
        (certificate.replace("MII", "M%I"), "not PEM"),
    ] {
        write(project.path(), "corp.pem", text);
        refused(why);
    }
}
