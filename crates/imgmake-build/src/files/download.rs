//! ADD's remote sources: a URL is downloaded once, checked, kept in the store, and remembered by its
//! content until `--pull`.

use std::borrow::Cow;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{BuildError, Context, Result};
use crate::files::hash::hash_reader;
use crate::files::tree::show;
use crate::pins::PinName;
use crate::request::BuildRequest;
use crate::target::TargetContext;
use imgmake_dockerfile as dockerfile;
use imgmake_event::{Direction, Event};
use imgmake_guard::offline;
use imgmake_oci::OciError;
use imgmake_oci::image::{Descriptor, Digest};
use imgmake_oci::layer::Timestamp;
use imgmake_registry::connection::{self, url_problem};

/// Of a server that sends nothing, neither an answer nor more of a file.
const PATIENCE: Duration = Duration::from_secs(120);

/// One http(s) source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    pub url: String,
    /// The file's name: the last part of the URL's path, decoded.
    pub name: Vec<u8>,
    pub checksum: Option<Digest>,
    pub unpack: bool,
}

impl Download {
    /// # Errors
    /// A checksum that is no digest, or that stands with several sources.
    pub fn new(url: &str, add: &dockerfile::Add) -> Result<Download> {
        let checksum = match &add.checksum {
            Some(_) if add.files.sources.len() > 1 => {
                return Err(BuildError::invalid(
                    "--checksum",
                    "it needs exactly one source",
                ));
            }
            Some(text) => Some(text.parse::<Digest>().context("--checksum")?),
            None => None,
        };
        let parsed = url::Url::parse(url)
            .map_err(|why| BuildError::invalid(called(url), url_problem(why)))?;
        let name = file_name(parsed.path()).map_err(|why| BuildError::invalid(called(url), why))?;
        Ok(Download {
            url: url.to_string(),
            name,
            checksum,
            unpack: add.unpack == Some(true),
        })
    }

    /// A context, which is unpacked.
    ///
    /// # Errors
    /// The URL is none.
    pub fn archive(url: &str) -> Result<Download> {
        let parsed = url::Url::parse(url)
            .map_err(|why| BuildError::invalid(called(url), url_problem(why)))?;
        Ok(Download {
            url: url.to_string(),
            name: file_name(parsed.path()).map_err(|why| BuildError::invalid(called(url), why))?,
            checksum: None,
            unpack: true,
        })
    }
}

fn called(url: &str) -> String {
    format!("URL `{}`", redacted(url))
}

/// `a%2Bb` is `a+b`; the last part of `dir/` is `dir`; a URL without a path has no name to give.
fn file_name(path: &str) -> Result<Vec<u8>, &'static str> {
    let decoded = percent_decoded(path.as_bytes());
    let mut parts = decoded.split(|byte| *byte == b'/');
    match parts.rfind(|part| !part.is_empty()) {
        None => Ok(b"__unnamed__".to_vec()),
        Some(b"." | b"..") => Err("its last part names a directory and no file"),
        Some(name) if name.contains(&0) => Err("its last part has a zero byte in it"),
        Some(name) => Ok(name.to_vec()),
    }
}

/// What is no `%XX` stays as it is.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%'
            && let [high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            decoded.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"));
            rest = after;
            continue;
        }
        decoded.push(*first);
    }
    decoded
}

pub fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// A URL without what can be secret in it: the login and the query. Other texts stay as they are.
pub fn redacted(url: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = url.split_once("://").filter(|_| is_url(url)) else {
        return Cow::Borrowed(url);
    };
    let host_ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let login_ends = rest[..host_ends].rfind('@').map_or(0, |at| at + 1);
    let query = rest[host_ends..].find('?').map(|at| host_ends + at);
    if login_ends == 0 && query.is_none() {
        return Cow::Borrowed(url);
    }
    let login = if login_ends == 0 { "" } else { "…@" };
    let place = &rest[login_ends..query.unwrap_or(rest.len())];
    let query = if query.is_some() { "?…" } else { "" };
    Cow::Owned(format!("{scheme}://{login}{place}{query}"))
}

/// The text of an ADD with its sources, as they were parsed, [`redacted`]: where a URL ends in the text is a
/// matter of quotes and escapes.
pub fn with_redacted_sources<'a>(
    text: &str,
    sources: impl Iterator<Item = &'a str>,
    destination: &str,
) -> String {
    let sources: Vec<(&str, Cow<'_, str>)> = sources.map(|one| (one, redacted(one))).collect();
    let mut secret: Vec<&(&str, Cow<'_, str>)> =
        sources.iter().filter(|(one, shown)| one != shown).collect();
    // One may be the beginning of another.
    secret.sort_by_key(|(one, _)| std::cmp::Reverse(one.len()));
    let mut said = text.to_string();
    for (one, shown) in secret {
        if !text.contains(one) {
            let sources = sources.iter().map(|(_, shown)| shown.as_ref());
            return rewritten(text, sources, destination);
        }
        said = said.replace(one, shown);
    }
    said
}

/// Without flags and quotes.
fn rewritten<'a>(
    text: &str,
    sources: impl Iterator<Item = &'a str>,
    destination: &'a str,
) -> String {
    let trigger = text.starts_with("ONBUILD").then_some("ONBUILD");
    let words = trigger.into_iter().chain(["ADD"]).chain(sources);
    words.chain([destination]).collect::<Vec<_>>().join(" ")
}

/// `git@host:path`, `git://`, `ssh://`, and http(s) URLs whose path ends in `.git`.
pub fn is_git(source: &str) -> bool {
    if source.starts_with("git://") || source.starts_with("ssh://") || source.starts_with("git@") {
        return true;
    }
    is_url(source)
        && source
            .split(['#', '?'])
            .next()
            .is_some_and(|url| url.ends_with(".git"))
}

/// A file in the store, as it was downloaded.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub path: PathBuf,
    pub size: u64,
    pub digest: Digest,
    pub hash: [u8; 32],
    pub mtime: Timestamp,
}

/// What a pin says: `sha256:… SECONDS SIZE`.
#[derive(Clone)]
struct Pin {
    digest: Digest,
    mtime: i64,
    size: u64,
}

impl Pin {
    fn parse(text: &str) -> Option<Pin> {
        let mut words = text.split(' ');
        Some(Pin {
            digest: words.next()?.parse().ok()?,
            mtime: words.next()?.parse().ok()?,
            size: words.next()?.parse().ok()?,
        })
    }

    fn text(&self) -> String {
        format!("{} {} {}", self.digest, self.mtime, self.size)
    }
}

/// The file behind a URL, in the store.
///
/// # Errors
/// The server's; content that is not what the checksum or the pin says.
pub fn fetch(download: &Download, cx: &TargetContext, request: &BuildRequest) -> Result<Fetched> {
    let name = PinName::url(&download.url);
    let shown = redacted(&download.url);
    let pinned = match request.pull {
        true => None,
        false => cx.pins.get(&name)?.and_then(|t| Pin::parse(&t)),
    };
    // The store knows files by their sha256 alone.
    let (wanted, other) = match &download.checksum {
        Some(checksum) if checksum.algorithm() == "sha256" => (Some(checksum), None),
        Some(checksum) => (None, Some(checksum)),
        None => (pinned.as_ref().map(|p| &p.digest), None),
    };
    let is_held = |pin: &Pin| -> Result<bool> {
        let held = cx.store.has(&pin.digest);
        Ok(match other {
            Some(checksum) => held && sha512_of(&pin.digest, cx)? == *checksum,
            None => held && wanted == Some(&pin.digest),
        })
    };
    let held = match &pinned {
        Some(pin) => is_held(pin)?,
        None => false,
    };
    let pin = if let Some(pin) = pinned.as_ref().filter(|_| held) {
        pin.clone()
    } else {
        let got = get_patiently(download, wanted, cx, request)
            .with_context(|| format!("cannot download `{shown}`"))?;
        if let Some(checksum) = other {
            let found = sha512_of(&got.digest, cx)?;
            if found != *checksum {
                let error = OciError::Mismatch {
                    what: "the digest of the content".to_string(),
                    found: found.to_string(),
                    expected: checksum.to_string(),
                };
                let error = Err::<(), _>(error).context("it does not match --checksum");
                error.with_context(|| format!("cannot download `{shown}`"))?;
            }
        }
        // The same content has the time that it was pinned with, whatever this server says of it now.
        let pin = pinned.filter(|pin| pin.digest == got.digest).unwrap_or(got);
        cx.pins.set(&name, &pin.text())?;
        pin
    };
    let path = cx.store.blob_path(&pin.digest);
    let hash = cx.store.with_blob(&pin.digest, |blob| -> Result<_> {
        Ok(hash_reader(cx.cancel.reader(blob))?)
    })?;
    // After its content was found to be what the digest says.
    let size = path.metadata()?.len();
    if size != pin.size {
        let fact = format!(
            "the pin of `{shown}` says `size={}`, and {} has {size} bytes",
            pin.size, pin.digest
        );
        let advice = "the line of the lock file is wrong: `imgmake update` writes it again";
        return Err(BuildError::Advised {
            fact,
            advice: advice.into(),
        });
    }
    Ok(Fetched {
        hash,
        path,
        size,
        digest: pin.digest.clone(),
        mtime: Timestamp {
            seconds: pin.mtime,
            nanos: 0,
        },
    })
}

/// The sha512 of a file of the store.
fn sha512_of(file: &Digest, cx: &TargetContext) -> Result<Digest> {
    use sha2::Digest as _;
    let hash = cx.store.with_blob(file, |blob| -> Result<_> {
        let mut hasher = sha2::Sha512::new();
        let mut reader = cx.cancel.reader(blob);
        let mut block = vec![0; 256 << 10];
        loop {
            let read = std::io::Read::read(&mut reader, &mut block)?;
            if read == 0 {
                return Ok(hasher.finalize());
            }
            hasher.update(&block[..read]);
        }
    })?;
    let text = format!("sha512:{}", hex::encode(hash));
    Ok(text.parse().expect("it is a digest"))
}

/// Tries as often as a registry is tried.
fn get_patiently(
    download: &Download,
    wanted: Option<&Digest>,
    cx: &TargetContext,
    request: &BuildRequest,
) -> Result<Pin> {
    for used in 1.. {
        let mut asked = None;
        let error = match get(download, wanted, cx, request, &mut asked) {
            Ok(got) => return Ok(got),
            Err(error) => error,
        };
        let is_transient = error.find().is_some_and(imgmake_registry::is_transient);
        if is_transient
            && cx
                .registry
                .wait_for_attempt(used, asked.as_deref(), &cx.cancel)?
        {
            continue;
        }
        return Err(match used {
            1 => error,
            _ => error.during(format!("tried {used} times")),
        });
    }
    unreachable!("attempts end")
}

/// `retry_after` becomes what a server that refuses asks for.
fn get(
    download: &Download,
    wanted: Option<&Digest>,
    cx: &TargetContext,
    request: &BuildRequest,
    retry_after: &mut Option<String>,
) -> Result<Pin> {
    let url = url::Url::parse(&download.url).ok();
    let host = url.as_ref().and_then(|url| url.host_str());
    offline::check(host.unwrap_or_default())?;
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(cx.registry.system_trust()?)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(PATIENCE))
        .timeout_per_write(Some(PATIENCE))
        .user_agent("imgmake")
        .build();
    let agent = connection::agent(config, &cx.cancel);
    // What a cancelled connection says is not what happened.
    let failed = |error: ureq::Error| match cx.cancel.check() {
        Ok(()) => BuildError::from(error),
        Err(cancelled) => cancelled.into(),
    };
    let mut response = agent.get(&download.url).call().map_err(failed)?;
    if !response.status().is_success() {
        let header = response.headers().get("retry-after");
        *retry_after = header.and_then(|value| Some(value.to_str().ok()?.to_string()));
        return Err(ureq::Error::StatusCode(response.status().as_u16()).into());
    }
    let mtime = response
        .headers()
        .get("last-modified")
        .and_then(|v| http_date(v.to_str().ok()?))
        .unwrap_or(0);
    let total = response.body().content_length();
    let mut body = response.body_mut().as_reader();
    let mut writer = cx.store.blob_writer()?;
    let mut block = vec![0; 256 << 10];
    let mut done = 0u64;
    loop {
        cx.cancel.check()?;
        // Not an error of the store's, which no other attempt mends.
        let read = body
            .read(&mut block)
            .map_err(|error| failed(error.into()))?;
        if read == 0 {
            break;
        }
        std::io::Write::write_all(&mut writer, &block[..read])?;
        done += read as u64;
        cx.events.send(Event::Progress {
            target: request.target.clone(),
            what: show(&download.name),
            direction: Direction::Pull,
            done,
            total,
        });
    }
    let expected = wanted.map(|d| Descriptor::new("", d.clone(), done));
    let committed = writer.commit(expected.as_ref());
    let (digest, size) = committed.context(match download.checksum {
        Some(_) => "it does not match --checksum",
        None => "it has changed since it was first downloaded (--pull uses the new one)",
    })?;
    Ok(Pin {
        digest,
        mtime,
        size,
    })
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<i64> {
    let text = text.trim().replace("GMT", "+0000");
    jiff::fmt::rfc2822::parse(&text)
        .ok()
        .map(|then| then.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_sources_are_told_from_urls() {
        for (source, git) in [
            ("https://github.com/a/b.git", true),
            ("https://github.com/a/b.git#v1", true),
            ("git@github.com:a/b", true),
            ("https://example.com/a.tar.gz", false),
            ("dir/a.git", false),
        ] {
            assert_eq!(is_git(source), git, "{source}");
        }
    }

    #[test]
    fn what_can_be_secret_in_a_url_is_not_shown() {
        for (url, shown) in [
            ("https://h/x?token=s", "https://h/x?…"),
            ("https://u:s@h:1/x", "https://…@h:1/x"),
            ("http://u:s@h?s=/@", "http://…@h?…"),
            ("https://h/x@1", "https://h/x@1"),
            ("dir/x?y", "dir/x?y"),
        ] {
            assert_eq!(redacted(url), shown, "{url}");
        }
        for (text, sources, shown) in [
            (
                r#"ADD --chown=1 ["https://u:s@h/x?t=s", "http://h/y", "/a b"]"#,
                &["https://u:s@h/x?t=s", "http://h/y"][..],
                r#"ADD --chown=1 ["https://…@h/x?…", "http://h/y", "/a b"]"#,
            ),
            (
                "ADD https://h/x?a=1,b&sig=s https://u:p,w@h/x https://h/x?a=1 /a b",
                &[
                    "https://h/x?a=1,b&sig=s",
                    "https://u:p,w@h/x",
                    "https://h/x?a=1",
                ],
                "ADD https://h/x?… https://…@h/x https://h/x?… /a b",
            ),
            // Written otherwise than it is meant.
            (
                r#"ONBUILD ADD ["https:\/\/u:s@h/x", "http://h/y?s", "/a b"]"#,
                &["https://u:s@h/x", "http://h/y?s"],
                "ONBUILD ADD https://…@h/x http://h/y?… /a b",
            ),
        ] {
            let sources = sources.iter().copied();
            assert_eq!(with_redacted_sources(text, sources, "/a b"), shown);
        }
    }

    #[test]
    fn the_last_part_of_a_url_is_the_files_name() {
        for (path, name) in [
            ("/a/tool%2B1.tgz", b"tool+1.tgz".as_slice()),
            ("/a%20b", b"a b"),
            ("/a%2Fb", b"b"),
            ("/dir/", b"dir"),
            ("/", b"__unnamed__"),
            ("", b"__unnamed__"),
            ("/%", b"%"),
            ("/%4", b"%4"),
            ("/%zz", b"%zz"),
            ("/%ff", b"\xff"),
        ] {
            assert_eq!(file_name(path).unwrap(), name, "{path}");
        }
        for path in ["/a%2F..", "/a%2f%2e", "/a%00b"] {
            assert!(file_name(path).is_err(), "{path}");
        }
    }

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(
            http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
    }
}
