//! A web server on loopback with a directory: files by GET, uploads by PUT, git
//! repositories through `git http-backend`; with TLS or a login if wanted. Below
//! `/v0/` it speaks git's older protocol.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{run, temporary};

/// Ends when its standard input does, so it never outlives the test.
const SERVER: &str = r#"
import base64, http.server, os, ssl, subprocess, sys, threading
root, certificate, login = sys.argv[1:4]
wanted = 'Basic ' + base64.b64encode(login.encode()).decode()
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def answer(self, status, body=b'', headers=()):
        self.send_response(status)
        for name, value in headers: self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def any(self):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        if login and self.headers.get('Authorization') != wanted:
            return self.answer(401, b'', [('WWW-Authenticate', 'Basic realm="test"')])
        path, _, query = self.path.partition('?')
        file = root + path.rstrip('/')
        if '.git/' in path: return self.git(path, query, body)
        if self.command == 'PUT':
            open(file, 'wb').write(body)
            return self.answer(201)
        if not os.path.isfile(file): return self.answer(404)
        modified = self.date_time_string(os.path.getmtime(file))
        self.answer(200, open(file, 'rb').read(), [('Last-Modified', modified)])
    def git(self, path, query, body):
        protocol = self.headers.get('Git-Protocol', '')
        if path.startswith('/v0/'): path, protocol = path[3:], ''
        environment = dict(os.environ, GIT_PROJECT_ROOT=root, GIT_HTTP_EXPORT_ALL='1', PATH_INFO=path,
            QUERY_STRING=query, REQUEST_METHOD=self.command, CONTENT_LENGTH=str(len(body)),
            CONTENT_TYPE=self.headers.get('Content-Type', ''), GIT_PROTOCOL=protocol,
            HTTP_CONTENT_ENCODING=self.headers.get('Content-Encoding', ''))
        out = subprocess.run(['git', 'http-backend'], input=body, env=environment, stdout=subprocess.PIPE).stdout
        head, _, rest = out.partition(b'\r\n\r\n')
        headers = [line.split(': ', 1) for line in head.decode().split('\r\n')]
        status = int(dict(headers).get('Status', '200').split()[0])
        self.answer(status, rest, [h for h in headers if h[0] != 'Status'])
    do_GET = do_POST = do_PUT = any
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate + '.crt', certificate + '.key')
    server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// A registry's front that answers some requests itself.
const FRONT: &str = r#"
import http.client, http.server, json, os, sys, threading
behind, own = sys.argv[1], json.load(open(sys.argv[2]))
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *_): pass
    def any(self):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        mine = [a for a in own if (self.command + ' ' + self.path).startswith(a['request'])]
        if mine:
            status, headers = mine[0]['status'], [('Content-Type', mine[0]['kind'])]
            out = mine[0]['body'].encode()
        else:
            connection = http.client.HTTPConnection(behind)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            status, headers, out = answer.status, answer.getheaders(), answer.read()
        self.send_response(status)
        length = dict(headers).get('Content-Length', str(len(out)))
        for name, value in headers:
            if name not in ('Content-Length', 'Transfer-Encoding', 'Connection'): self.send_header(name, value)
        self.send_header('Content-Length', length if self.command == 'HEAD' else str(len(out)))
        self.end_headers()
        if self.command != 'HEAD': self.wfile.write(out)
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = any
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
"#;

pub struct Web {
    /// `127.0.0.1:port`.
    pub host: String,
    directory: tempfile::TempDir,
    server: Child,
}

/// What a front says itself.
#[derive(serde::Serialize)]
pub struct Answer {
    /// How the request begins: `PUT /v2/app/manifests/1`.
    pub request: String,
    pub status: u16,
    /// The body's media type.
    pub kind: &'static str,
    pub body: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Plain,
    Tls,
}

impl Web {
    /// `login` is `user:password`, or empty.
    pub fn start(transport: Transport, login: &str) -> Web {
        let directory = temporary();
        std::fs::create_dir(directory.path().join("root")).unwrap();
        let certificate = match transport {
            Transport::Plain => String::new(),
            Transport::Tls => make_certificate(directory.path()),
        };
        let root = directory.path().join("root").display().to_string();
        Web::serve(SERVER, &[&root, &certificate, login], directory)
    }

    /// In front of a registry whose tag at `fixed`, a path of its API, cannot be set, as ECR
    /// says it of one that is there.
    pub fn in_front_of(registry: &str, fixed: &str) -> Web {
        let body = r#"{"errors":[{"code":"TAG_INVALID","message":"The image tag cannot be overwritten because the tag is immutable."}]}"#;
        let answer = Answer {
            request: format!("PUT {fixed}"),
            status: 400,
            kind: "application/json",
            body: body.to_string(),
        };
        Web::answering(registry, &[answer])
    }

    /// In front of a registry, with answers of its own to some requests.
    pub fn answering(registry: &str, answers: &[Answer]) -> Web {
        let directory = temporary();
        let file = directory.path().join("answers");
        std::fs::write(&file, serde_json::to_vec(answers).unwrap()).unwrap();
        Web::serve(FRONT, &[registry, file.to_str().unwrap()], directory)
    }

    fn serve(script: &str, arguments: &[&str], directory: tempfile::TempDir) -> Web {
        let mut server = Command::new("python3")
            .args(["-c", script])
            .args(arguments)
            // What a hook around the tests may have set.
            .env_remove("GIT_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.as_mut().unwrap())
            .read_line(&mut port)
            .unwrap();
        Web {
            host: format!("127.0.0.1:{}", port.trim()),
            directory,
            server,
        }
    }

    /// What it serves.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// The certificate that clients must trust.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("server.crt")
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        drop(self.server.wait());
    }
}

fn make_certificate(directory: &Path) -> String {
    let name = directory.join("server").display().to_string();
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &format!("{name}.key"),
            "-out",
            &format!("{name}.crt"),
        ],
    );
    name
}
