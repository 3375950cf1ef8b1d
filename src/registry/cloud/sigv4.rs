//! AWS Signature Version 4, for requests with a body in memory.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use url::Url;

/// What signs.
#[derive(Clone)]
pub(super) struct Keys {
    pub access: String,
    pub secret: String,
    pub session: Option<String>,
}

/// Where a signature holds.
pub(super) struct Scope<'a> {
    pub region: &'a str,
    pub service: &'a str,
    /// `20150830T123600Z`.
    pub time: &'a str,
}

/// The `Authorization` of a request. `headers` are signed besides `host` and
/// `x-amz-date`; names are lower-case.
pub(super) fn authorization(
    keys: &Keys,
    scope: &Scope,
    method: &str,
    url: &Url,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_string(),
    };
    let mut signed: Vec<(&str, &str)> = headers.to_vec();
    signed.push(("host", &host));
    signed.push(("x-amz-date", scope.time));
    signed.sort_unstable();
    let names: Vec<&str> = signed.iter().map(|(n, _)| *n).collect();
    let names = names.join(";");
    let mut canonical = format!("{method}\n{}\n{}\n", url.path(), query(url));
    for (name, value) in &signed {
        canonical.push_str(&format!("{name}:{}\n", value.trim()));
    }
    canonical.push_str(&format!("\n{names}\n{}", hex::encode(Sha256::digest(body))));

    let date = scope.time.get(..8).unwrap_or(scope.time);
    let place = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{place}\n{}",
        scope.time,
        hex::encode(Sha256::digest(canonical.as_bytes()))
    );
    let mut key = mac(format!("AWS4{}", keys.secret).as_bytes(), date);
    for part in [scope.region, scope.service, "aws4_request"] {
        key = mac(&key, part);
    }
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{place}, SignedHeaders={names}, Signature={}",
        keys.access,
        hex::encode(mac(&key, &to_sign))
    )
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn query(url: &Url) -> String {
    let mut pairs: Vec<&str> = url
        .query()
        .unwrap_or("")
        .split('&')
        .filter(|p| !p.is_empty())
        .collect();
    pairs.sort_unstable();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        service: &str,
    ) -> String {
        let keys = Keys {
            access: "AKIDEXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session: None,
        };
        let scope = Scope {
            region: "us-east-1",
            service,
            time: "20150830T123600Z",
        };
        authorization(
            &keys,
            &scope,
            method,
            &Url::parse(url).unwrap(),
            headers,
            body,
        )
        .rsplit_once("Signature=")
        .unwrap()
        .1
        .to_string()
    }

    /// AWS's published test suite and the example of its documentation.
    #[test]
    fn signatures_are_those_that_aws_publishes() {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        for (method, url, headers, body, service, expected) in [
            (
                "GET",
                "https://example.amazonaws.com/",
                &[][..],
                "",
                "service",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "GET",
                "https://example.amazonaws.com/?Param2=value2&Param1=value1",
                &[],
                "",
                "service",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "POST",
                "https://example.amazonaws.com/",
                &[],
                "",
                "service",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "POST",
                "https://example.amazonaws.com/",
                &form,
                "Param1=value1",
                "service",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "GET",
                "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
                &[(
                    "content-type",
                    "application/x-www-form-urlencoded; charset=utf-8",
                )],
                "",
                "iam",
                "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            ),
        ] {
            assert_eq!(
                signature(method, url, headers, body.as_bytes(), service),
                expected,
                "{method} {url}"
            );
        }
    }
}
