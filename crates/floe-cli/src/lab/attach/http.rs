//! A question over plain HTTP.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An answer is no longer than this, whatever answers at that address.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A connection to one member.
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    driving: JoinHandle<()>,
    host: String,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Connection {
    pub(super) async fn open(address: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| plain(&error))?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // How it ends is told to whoever asks over it.
        let driving = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, driving, host: address.to_owned() })
    }

    /// Status and body of one GET.
    pub(super) async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes), String> {
        let request = Request::get(path).header(HOST, &self.host).body(Empty::new());
        let request = request.map_err(|error| error.to_string())?;
        let response = self.sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    }
}

/// What the system says, without its number.
fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused: no process listens there".to_owned(),
        _ => error.to_string(),
    }
}
