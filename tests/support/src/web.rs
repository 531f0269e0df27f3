//! A web server that speaks HTTP/2 and is no farm: it answers every request alike.

use bytes::Bytes;
use http::{Response, StatusCode};
use relto::internals::task::{self, Task};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// Dropping it ends the server.
pub struct WebServer {
    port: u16,
    _accepting: Task<()>,
    _runtime: Runtime,
}

impl WebServer {
    /// Answers with `status` and an HTML page.
    pub fn answering(status: u16, page: &'static str) -> Self {
        let status = StatusCode::from_u16(status).expect("a status");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread for the server");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let accepting = {
            let _inside = runtime.enter();
            task::spawn(async move {
                let mut connections = Vec::new();
                while let Ok((stream, _)) = listener.accept().await {
                    connections.push(task::spawn(serve(stream, status, page)));
                }
            })
        };
        Self {
            port,
            _accepting: accepting,
            _runtime: runtime,
        }
    }

    /// `grpc://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }
}

async fn serve(stream: TcpStream, status: StatusCode, page: &'static str) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let response = Response::builder()
            .status(status)
            .header("content-type", "text/html")
            .body(())
            .expect("good headers");
        if let Ok(mut body) = respond.send_response(response, false) {
            // The client may have left.
            let _ = body.send_data(Bytes::from_static(page.as_bytes()), true);
        }
    }
}
