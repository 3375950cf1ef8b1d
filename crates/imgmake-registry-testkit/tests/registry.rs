//! The registry's API, asked as the specification describes it.

use imgmake_oci::image::Digest;
use imgmake_registry_testkit::{
    Action, Credentials, FaultProxy, Registry, RegistryOptions, answer, random_bytes,
};
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .build()
        .new_agent();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = match method {
        "GET" | "HEAD" | "DELETE" => agent.run(request.body(()).unwrap()).unwrap(),
        _ => agent.run(request.body(body).unwrap()).unwrap(),
    };
    let headers = answer.headers().iter();
    Answer {
        status: answer.status().as_u16(),
        headers: headers
            .map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_string()))
            .collect(),
        body: answer.body_mut().read_to_vec().unwrap(),
    }
}

fn url(registry: &Registry, path: &str) -> String {
    format!("http://{}/v2/{path}", registry.host())
}

/// Sends a blob in one piece; gives its digest.
fn push_blob(registry: &Registry, repository: &str, bytes: &[u8]) -> String {
    let digest = Digest::of(bytes).to_string();
    let begun = ask(
        "POST",
        &url(registry, &format!("{repository}/blobs/uploads/")),
        &[],
        b"",
    );
    assert_eq!(begun.status, 202);
    let to = format!("{}?digest={digest}", begun.header("location"));
    let put = ask("PUT", &to, &[], bytes);
    assert_eq!(
        (put.status, put.header("docker-content-digest")),
        (201, digest.as_str())
    );
    digest
}

/// Pushes an image whose layer is these bytes, with more fields in its manifest.
fn push_image(
    registry: &Registry,
    repository: &str,
    tag: &str,
    layer: &[u8],
    more: Value,
) -> String {
    let layer_digest = push_blob(registry, repository, layer);
    let config = push_blob(registry, repository, b"{}");
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": "x", "digest": layer_digest, "size": layer.len()}],
    });
    for (key, value) in more.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    let manifest = manifest.to_string();
    let to = url(registry, &format!("{repository}/manifests/{tag}"));
    let put = ask(
        "PUT",
        &to,
        &[("Content-Type", MANIFEST)],
        manifest.as_bytes(),
    );
    assert_eq!(put.status, 201, "{}", String::from_utf8_lossy(&put.body));
    put.header("docker-content-digest").to_string()
}

#[test]
fn an_image_is_found_by_tag_and_by_digest_as_it_was_pushed() {
    let registry = Registry::start();
    let digest = push_image(&registry, "a/b", "1", b"layer", json!({}));
    for reference in ["1", digest.as_str()] {
        let got = ask(
            "GET",
            &url(&registry, &format!("a/b/manifests/{reference}")),
            &[],
            b"",
        );
        assert_eq!((got.status, got.header("content-type")), (200, MANIFEST));
        assert_eq!(Digest::of(&got.body).to_string(), digest);
        let head = ask(
            "HEAD",
            &url(&registry, &format!("a/b/manifests/{reference}")),
            &[],
            b"",
        );
        assert_eq!(head.header("content-length"), got.body.len().to_string());
        assert!(head.body.is_empty());
    }
    assert_eq!(registry.tags("a/b"), ["1"]);
    assert!(registry.holds("a/b", &digest));
    let missing = ask("GET", &url(&registry, "a/b/manifests/2"), &[], b"");
    assert_eq!(
        (missing.status, &missing.json()["errors"][0]["code"]),
        (404, &json!("MANIFEST_UNKNOWN"))
    );
    let nobody = ask("GET", &url(&registry, "c/manifests/2"), &[], b"");
    assert_eq!(nobody.json()["errors"][0]["code"], "NAME_UNKNOWN");
}

#[test]
fn an_upload_takes_chunks_in_order_and_says_how_far_it_is() {
    let registry = Registry::start();
    let bytes = random_bytes(1, 10_000);
    let begun = ask("POST", &url(&registry, "app/blobs/uploads/"), &[], b"");
    let location = begun.header("location").to_string();
    let first = ask(
        "PATCH",
        &location,
        &[("Content-Range", "0-3999")],
        &bytes[..4000],
    );
    assert_eq!((first.status, first.header("range")), (202, "0-3999"));
    let gap = ask(
        "PATCH",
        &location,
        &[("Content-Range", "5000-9999")],
        &bytes[5000..],
    );
    assert_eq!((gap.status, gap.header("range")), (416, "0-3999"));
    let status = ask("GET", &location, &[], b"");
    assert_eq!((status.status, status.header("range")), (204, "0-3999"));
    let wrong = format!("{location}?digest={}", Digest::of(b"other"));
    let digest = Digest::of(&bytes).to_string();
    let last = format!("{location}?digest={digest}");
    assert_eq!(ask("PUT", &last, &[], &bytes[4000..]).status, 201);
    assert_eq!(ask("PUT", &wrong, &[], b"").status, 404, "it is finished");
    let ranged = ask(
        "GET",
        &url(&registry, &format!("app/blobs/{digest}")),
        &[("Range", "bytes=9000-")],
        b"",
    );
    assert_eq!(
        (ranged.status, ranged.body.as_slice()),
        (206, &bytes[9000..])
    );
    assert_eq!(ranged.header("content-range"), "bytes 9000-9999/10000");
    let past = ask(
        "GET",
        &url(&registry, &format!("app/blobs/{digest}")),
        &[("Range", "bytes=10000-")],
        b"",
    );
    assert_eq!(past.status, 416);
}

#[test]
fn bytes_that_are_not_their_digest_and_manifests_without_their_blobs_are_refused() {
    let registry = Registry::start();
    let begun = ask("POST", &url(&registry, "app/blobs/uploads/"), &[], b"");
    let to = format!(
        "{}?digest={}",
        begun.header("location"),
        Digest::of(b"right")
    );
    let put = ask("PUT", &to, &[], b"wrong");
    assert_eq!(
        (put.status, &put.json()["errors"][0]["code"]),
        (400, &json!("DIGEST_INVALID"))
    );
    let manifest =
        json!({"config": {"digest": Digest::of(b"nowhere").to_string()}, "layers": []}).to_string();
    let put = ask(
        "PUT",
        &url(&registry, "app/manifests/1"),
        &[],
        manifest.as_bytes(),
    );
    assert_eq!(
        (put.status, &put.json()["errors"][0]["code"]),
        (400, &json!("MANIFEST_BLOB_UNKNOWN"))
    );
    let by_digest = url(&registry, &format!("app/manifests/{}", Digest::of(b"{}x")));
    assert_eq!(ask("PUT", &by_digest, &[], b"{}").status, 400);
}

#[test]
fn a_blob_is_mounted_from_where_it_is_and_uploaded_from_where_it_is_not() {
    let registry = Registry::start();
    let digest = push_blob(&registry, "base", b"shared");
    let mount = |from: &str| {
        let to = url(
            &registry,
            &format!("app/blobs/uploads/?mount={digest}&from={from}"),
        );
        ask("POST", &to, &[], b"")
    };
    assert_eq!(mount("other").status, 202);
    assert_eq!(mount("base").status, 201);
    assert!(registry.holds("app", &digest));
}

#[test]
fn referrers_are_listed_by_type_and_deletion_ends_them() {
    let registry = Registry::start();
    let subject = push_image(&registry, "app", "1", b"layer", json!({}));
    let refers = json!({"artifactType": "text/sbom", "subject": {"digest": subject}});
    let artifact = push_image(&registry, "app", "sbom", b"sbom", refers);
    let listed = |query: &str| {
        let at = url(&registry, &format!("app/referrers/{subject}{query}"));
        ask("GET", &at, &[], b"").json()["manifests"].clone()
    };
    assert_eq!(listed("")[0]["digest"], artifact.as_str());
    assert_eq!(
        listed("?artifactType=text/sbom")[0]["artifactType"],
        "text/sbom"
    );
    assert_eq!(listed("?artifactType=other"), json!([]));
    let at = url(&registry, &format!("app/manifests/{artifact}"));
    assert_eq!(ask("DELETE", &at, &[], b"").status, 202);
    assert_eq!(ask("DELETE", &at, &[], b"").status, 404);
    assert_eq!(listed(""), json!([]));
    assert_eq!(registry.tags("app"), ["1"]);
}

#[test]
fn tags_come_in_pages() {
    let registry = Registry::start();
    for tag in ["a", "b", "c"] {
        push_image(&registry, "app", tag, b"layer", json!({}));
    }
    let first = ask("GET", &url(&registry, "app/tags/list?n=2"), &[], b"");
    assert_eq!(first.json()["tags"], json!(["a", "b"]));
    assert_eq!(
        first.header("link"),
        "</v2/app/tags/list?n=2&last=b>; rel=\"next\""
    );
    let second = ask("GET", &url(&registry, "app/tags/list?n=2&last=b"), &[], b"");
    assert_eq!(
        (second.json()["tags"].clone(), second.header("link")),
        (json!(["c"]), "")
    );
    let all = ask("GET", &url(&registry, "_catalog"), &[], b"");
    assert_eq!(all.json()["repositories"], json!(["app"]));
}

#[test]
fn credentials_are_asked_for_and_tokens_hold_for_their_scope() {
    let (user, password) = ("ann".to_string(), "pw".to_string());
    let basic = Registry::with(RegistryOptions {
        credentials: Credentials::Basic {
            user: user.clone(),
            password: password.clone(),
        },
        ..RegistryOptions::default()
    });
    let refused = ask("GET", &url(&basic, ""), &[], b"");
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, "Basic realm=\"testkit\"")
    );
    let ann = [("Authorization", "Basic YW5uOnB3")];
    assert_eq!(ask("GET", &url(&basic, ""), &ann, b"").status, 200);

    let registry = Registry::with(RegistryOptions {
        credentials: Credentials::Token { user, password },
        ..RegistryOptions::default()
    });
    let refused = ask("POST", &url(&registry, "app/blobs/uploads/"), &[], b"");
    let challenge = format!(
        "Bearer realm=\"http://{}/token\",service=\"testkit\",scope=\"repository:app:pull,push\"",
        registry.host()
    );
    assert_eq!(refused.header("www-authenticate"), challenge);
    let token_for = |scope: &str| {
        let at = format!(
            "http://{}/token?service=testkit&scope={scope}",
            registry.host()
        );
        let given = ask("GET", &at, &ann, b"").json();
        format!("Bearer {}", given["token"].as_str().unwrap())
    };
    let pull = token_for("repository:app:pull");
    let push = token_for("repository:app:pull,push");
    let begin = |token: &str| {
        let bearer = [("Authorization", token)];
        ask("POST", &url(&registry, "app/blobs/uploads/"), &bearer, b"").status
    };
    assert_eq!((begin(&pull), begin(&push)), (401, 202));
    let nobody = format!("http://{}/token", registry.host());
    assert_eq!(ask("GET", &nobody, &[], b"").status, 401);
}

#[test]
fn options_turn_off_what_some_registries_do_not_have() {
    let registry = Registry::with(RegistryOptions {
        referrers: false,
        delete: false,
        mount: false,
        relative_locations: true,
        ..RegistryOptions::default()
    });
    let digest = push_blob_relative(&registry);
    let status = |method: &str, path: &str| ask(method, &url(&registry, path), &[], b"").status;
    assert_eq!(status("GET", &format!("app/referrers/{digest}")), 405);
    assert_eq!(status("DELETE", &format!("app/blobs/{digest}")), 405);
    assert_eq!(
        status("POST", &format!("b/blobs/uploads/?mount={digest}&from=app")),
        202
    );
}

fn push_blob_relative(registry: &Registry) -> String {
    let begun = ask("POST", &url(registry, "app/blobs/uploads/"), &[], b"");
    let location = begun.header("location");
    assert!(location.starts_with("/v2/app/blobs/uploads/"), "{location}");
    let digest = Digest::of(b"x").to_string();
    let to = format!("http://{}{location}?digest={digest}", registry.host());
    assert_eq!(ask("PUT", &to, &[], b"x").status, 201);
    digest
}

#[test]
fn a_cut_upload_is_kept_or_forgotten_as_the_options_say() {
    for forgets in [false, true] {
        let registry = Registry::with(RegistryOptions {
            forgets_cut_uploads: forgets,
            ..RegistryOptions::default()
        });
        let cutting = FaultProxy::new(Some(registry.port()), |seen| match seen.method.as_str() {
            "PATCH" => Action::CutRequest(400),
            _ => Action::Forward,
        });
        let begun = format!("http://{}/v2/app/blobs/uploads/", cutting.host());
        let location = ask("POST", &begun, &[], b"").header("location").to_string();
        assert!(
            location.contains(&cutting.host()),
            "it answers for the host that was asked"
        );
        let agent = ureq::Agent::new_with_defaults();
        assert!(
            agent
                .patch(&location)
                .send(&random_bytes(2, 900)[..])
                .is_err()
        );
        // The registry notices the end of the connection a moment later.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let expected = if forgets { (404, "") } else { (204, "0-399") };
        loop {
            let status = ask("GET", &location, &[], b"");
            if (status.status, status.header("range")) == expected {
                break;
            }
            assert!(std::time::Instant::now() < until, "{}", status.status);
        }
        assert_eq!(cutting.lines()[1].split(' ').next(), Some("PATCH"));
    }
}

#[test]
fn a_rule_answers_without_a_registry_behind() {
    let alone = FaultProxy::new(None, |seen| match seen.earlier {
        0 => answer(503, &[("Retry-After", "1")], "busy"),
        _ => answer(200, &[], "done"),
    });
    let at = format!("http://{}/x", alone.host());
    let first = ask("GET", &at, &[], b"");
    assert_eq!((first.status, first.header("retry-after")), (503, "1"));
    assert_eq!(ask("GET", &at, &[], b"").body, b"done");
    assert_eq!(alone.lines(), ["GET /x", "GET /x"]);
    alone.clear();
    assert!(alone.requests().is_empty());
}
