//! Credential helper programs, `docker-credential-<name>`: the protocol of
//! docker-credential-helpers (a word as argument, JSON or text through pipes).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Some helpers open a browser or ask an agent; none may hang a build for ever.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

type Environment = BTreeMap<String, String>;

/// User and secret for a server; `None` when the helper knows none.
pub(super) fn get(
    program: &str,
    server: &str,
    environment: &Environment,
) -> Result<Option<(String, String)>, String> {
    let output = match run(program, "get", server.as_bytes(), environment) {
        Ok(output) => output,
        Err(Failed::Said(text)) if is_not_found(&text) => return Ok(None),
        Err(failed) => return Err(failed.text()),
    };
    let message: Message = serde_json::from_slice(&output)
        .map_err(|_| "its answer is not the JSON of a credential helper".to_string())?;
    // Some helpers answer "nothing" with empty fields.
    Ok((!message.secret.is_empty()).then_some((message.username, message.secret)))
}

pub(super) fn store(
    program: &str,
    server: &str,
    user: &str,
    secret: &str,
    environment: &Environment,
) -> Result<(), String> {
    let message = Message {
        server_url: server.to_string(),
        username: user.to_string(),
        secret: secret.to_string(),
    };
    let input = serde_json::to_vec(&message).expect("three strings are JSON");
    run(program, "store", &input, environment)
        .map(drop)
        .map_err(Failed::text)
}

pub(super) fn erase(program: &str, server: &str, environment: &Environment) -> Result<(), String> {
    match run(program, "erase", server.as_bytes(), environment) {
        Err(Failed::Said(text)) if is_not_found(&text) => Ok(()),
        other => other.map(drop).map_err(Failed::text),
    }
}

fn is_not_found(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("credentials not found") || text.contains("not found in native keychain")
}

enum Failed {
    Start(String),
    Said(String),
}

impl Failed {
    fn text(self) -> String {
        match self {
            Failed::Start(text) => text,
            Failed::Said(text) => text.trim().chars().take(300).collect(),
        }
    }
}

fn run(
    program: &str,
    action: &str,
    input: &[u8],
    environment: &Environment,
) -> Result<Vec<u8>, Failed> {
    if program.is_empty() || program.contains(['/', '\\', '\0']) {
        return Err(Failed::Start("a helper's name is one word".into()));
    }
    let name = format!("docker-credential-{program}");
    let mut child = Command::new(&name)
        .arg(action)
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| Failed::Start(format!("the program cannot be run: {e}")))?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A helper that does not read its input answers nevertheless.
    drop(stdin.write_all(input).and_then(|()| stdin.write_all(b"\n")));
    drop(stdin);
    let (sender, receiver) = mpsc::channel();
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let mut stderr = child.stderr.take().expect("stderr is piped");
    std::thread::spawn(move || {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        drop(stdout.by_ref().take(1 << 20).read_to_end(&mut out));
        drop(stderr.by_ref().take(1 << 16).read_to_end(&mut err));
        drop(sender.send((out, err)));
    });
    let Ok((out, err)) = receiver.recv_timeout(PATIENCE) else {
        drop(child.kill());
        drop(child.wait());
        return Err(Failed::Start("no answer within two minutes".into()));
    };
    let status = child
        .wait()
        .map_err(|e| Failed::Start(format!("the program was lost: {e}")))?;
    if status.success() {
        return Ok(out);
    }
    let said = if out.trim_ascii().is_empty() {
        err
    } else {
        out
    };
    Err(Failed::Said(format!(
        "{} ({status})",
        String::from_utf8_lossy(&said).trim()
    )))
}
