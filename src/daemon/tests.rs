//! Against a socket that says what a daemon may say; real daemons are the integration tests' ground.

use std::os::unix::net::UnixListener;

use super::*;

/// A daemon for one request: reads its head, a chunked body if there is one, and answers.
fn answering(
    answer: &'static str,
) -> (tempfile::TempDir, Daemon, std::thread::JoinHandle<Vec<u8>>) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut read = Vec::new();
        let mut block = [0; 4096];
        loop {
            let count = stream.read(&mut block).unwrap();
            read.extend(&block[..count]);
            let head_only = read.starts_with(b"GET ") && read.ends_with(b"\r\n\r\n");
            if count == 0 || head_only || read.ends_with(b"\r\n0\r\n\r\n") {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).unwrap();
        read
    });
    let daemon = Daemon::at(socket, &Cancel::default());
    (directory, daemon, serving)
}

#[test]
fn an_archive_is_sent_while_it_is_written() {
    let (_directory, daemon, serving) =
        answering("HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"stream\":\"Loaded\"}");
    daemon
        .load(|out| Ok(out.write_all(&[b'x'; 300_000])?))
        .unwrap();
    let sent = serving.join().unwrap();
    assert_eq!(
        sent.iter().filter(|b| **b == b'x').count(),
        300_000 + "x-tar".matches('x').count()
    );
    let head = String::from_utf8_lossy(&sent[..200]).to_lowercase();
    assert!(
        head.starts_with("post /images/load") && head.contains("transfer-encoding: chunked"),
        "{head}"
    );
}

#[test]
fn an_error_among_the_progress_is_the_outcome() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        2e\r\n{\"status\":\"Loading layer\",\"progressDetail\":{}}\r\n\
        33\r\n{\"errorDetail\":{\"message\":\"no space\"},\"error\":\"x\"}\n\r\n0\r\n\r\n";
    let (_directory, daemon, serving) = answering(answer);
    let error = daemon.load(|out| Ok(out.write_all(b"x")?)).unwrap_err();
    serving.join().unwrap();
    assert!(format!("{error:#}").ends_with("no space"), "{error:#}");
}

#[test]
fn a_refusal_is_told_in_the_daemons_words() {
    let (_directory, daemon, serving) = answering(
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 24\r\n\r\n{\"message\":\"not a tar\"} \n",
    );
    let error = daemon.load(|_| Ok(())).unwrap_err();
    serving.join().unwrap();
    assert!(format!("{error:#}").contains("not a tar"), "{error:#}");
}

#[test]
fn an_archive_that_cannot_be_written_to_its_end_is_not_loaded() {
    let (_directory, daemon, serving) = answering("");
    let error = daemon
        .load(|out| {
            out.write_all(b"half")?;
            bail!("the layer is gone")
        })
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("the layer is gone"),
        "{error:#}"
    );
    let sent = serving.join().unwrap();
    assert!(
        !sent.ends_with(b"0\r\n\r\n"),
        "the body was ended as if it were whole"
    );
}

#[test]
fn without_a_socket_it_is_said_where_it_was_looked_for() {
    let environment = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_string()))
            .collect()
    };
    let at = environment(&[("DOCKER_HOST", "unix:///nowhere/docker.sock")]);
    let error = Daemon::get(Kind::Docker, &at, &Cancel::default())
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("`/nowhere/docker.sock`"),
        "{error}"
    );
    let tcp = environment(&[("DOCKER_HOST", "tcp://10.0.0.1:2376")]);
    assert!(Daemon::get(Kind::Docker, &tcp, &Cancel::default()).is_err());
    let run = environment(&[("XDG_RUNTIME_DIR", "/run/user/7")]);
    assert_eq!(
        sockets(Kind::Podman, &run).unwrap(),
        [
            Path::new("/run/user/7/podman/podman.sock"),
            Path::new("/run/podman/podman.sock")
        ]
    );
}
