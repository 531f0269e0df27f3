//! nginx in front of a real server, or as an HTTP cache: TLS, client certificates and passwords, as
//! a farm has them.

use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fs_err as fs;

use super::{Processes, Server, free_port};
use crate::tls::{Pair, Tls};

/// What a client must show beyond trust in the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// The user `relto` and the password `open sesame`.
    Password,
    /// A certificate of the authority.
    ClientCertificate,
}

/// What nginx serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// The gRPC of a server at this port.
    Grpc(u16),
    /// Files that are stored by `PUT`.
    Files,
}

/// `authorization` with the right password.
pub const BASIC: &str = "Basic cmVsdG86b3BlbiBzZXNhbWU=";
/// `authorization` with a wrong one.
pub const WRONG_BASIC: &str = "Basic cmVsdG86d3Jvbmc=";

/// A running nginx. It ends when this is dropped.
#[derive(Debug)]
pub struct Nginx {
    dir: tempfile::TempDir,
    port: u16,
    service: Service,
    process: Child,
    /// Ends it even if the test process is killed.
    _watched: Processes,
    tls: Tls,
}

impl Nginx {
    /// Starts one in front of `server`.
    ///
    /// # Panics
    /// nginx is not installed or does not start.
    pub fn in_front_of(server: &Server, demand: Demand) -> Self {
        Self::start(Service::Grpc(server.port()), demand)
    }

    /// Starts an HTTP cache: nginx with its module for `WebDAV`.
    ///
    /// # Panics
    /// nginx is not installed or does not start.
    pub fn http_cache(demand: Demand) -> Self {
        Self::start(Service::Files, demand)
    }

    fn start(service: Service, demand: Demand) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let tls = Tls::new();
        let Pair { certificate, key } = &tls.server;
        // "open sesame", as `htpasswd -s` writes it.
        let passwords = "relto:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\n";
        for (name, text) in [
            ("authority.pem", tls.authority.as_str()),
            ("server.pem", certificate),
            ("server.key", key),
            ("passwords", passwords),
        ] {
            fs::write(dir.path().join(name), text).expect("written");
        }
        let port = free_port();
        let text = configuration(port, service, demand);
        fs::write(dir.path().join("nginx.conf"), text).expect("written");
        let process = Command::new(program())
            .arg("-p")
            .arg(dir.path())
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("nginx is installed: `tests/run.sh` does that");
        let pid = i32::try_from(process.id()).expect("ids of processes are small");
        let mut started = Self {
            _watched: Processes::watch(vec![pid], dir.path()),
            dir,
            port,
            service,
            process,
            tls,
        };
        started.wait_until_it_listens();
        started
    }

    fn wait_until_it_listens(&mut self) {
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.try_wait().expect("a child of ours");
            let log = || fs::read_to_string(self.dir.path().join("error.log"));
            assert!(ended.is_none(), "nginx ended: {:?}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// `grpcs://localhost:PORT`, or `https://localhost:PORT/cache` of an HTTP cache.
    pub fn address(&self) -> String {
        match self.service {
            Service::Grpc(_) => format!("grpcs://localhost:{}", self.port),
            Service::Files => format!("https://localhost:{}/cache", self.port),
        }
    }

    /// The certificate of the authority that clients trust.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("authority.pem")
    }

    /// A client's certificate and key.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        let write = |name: &str, text: &str| {
            let path = self.dir.path().join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let Pair { certificate, key } = &self.tls.client;
        (write("client.pem", certificate), write("client.key", key))
    }

    /// relto's options for a cache behind it, without what it demands, as environment variables.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let authority = self.authority().display().to_string();
        vec![
            ("RELTO_REMOTE_CACHE", self.address()),
            ("RELTO_TLS_CERTIFICATE", authority),
        ]
    }

    /// The same with a client's certificate and key.
    pub fn environment_of_client(&self) -> Vec<(&'static str, String)> {
        let (certificate, key) = self.client();
        let certificate = ("RELTO_TLS_CLIENT_CERTIFICATE", certificate);
        let pair = [certificate, ("RELTO_TLS_CLIENT_KEY", key)];
        let pair = pair.map(|(name, path)| (name, path.display().to_string()));
        self.environment().into_iter().chain(pair).collect()
    }

    /// A directory for the test's own files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Without a master process this is all of it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Debian keeps it where only root's `PATH` looks.
fn program() -> &'static str {
    let debian = "/usr/sbin/nginx";
    if Path::new(debian).exists() {
        debian
    } else {
        "nginx"
    }
}

/// One process that touches nothing outside the directory. What it refuses of gRPC, it refuses in
/// the words of gRPC: its own pages are HTML.
fn configuration(port: u16, service: Service, demand: Demand) -> String {
    let locations = match service {
        Service::Grpc(backend) => format!(
            "
        error_page 400 401 495 496 = @unauthenticated;
        location / {{
            grpc_pass grpc://127.0.0.1:{backend};
        }}
        location @unauthenticated {{
            default_type application/grpc;
            add_header grpc-status 16;
            add_header grpc-message 'not authenticated';
            return 204;
        }}"
        ),
        Service::Files => "
        location / {
            root store;
            dav_methods PUT;
            create_full_put_path on;
        }"
        .to_owned(),
    };
    let demand = match demand {
        Demand::Password => "auth_basic farm; auth_basic_user_file passwords;",
        Demand::ClientCertificate => "ssl_client_certificate authority.pem; ssl_verify_client on;",
    };
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate server.pem;
        ssl_certificate_key server.key;
        {demand}{locations}
    }}
}}
"
    )
}
