//! Connections to a cluster: which member a command talks to, and what may be tried again on another.

use std::io;
use std::time::Duration;

use clap::Args;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::print::Format;

/// The flags of every command that talks to a cluster.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Members to talk to, as host:port, comma-separated; the first that answers is used
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "127.0.0.1:2379")]
    pub(crate) endpoints: Vec<String>,
    /// How long to wait for a connection
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = crate::server::duration::parse)]
    pub(crate) dial_timeout: Duration,
    /// How long to wait for an answer
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = crate::server::duration::parse)]
    pub(crate) command_timeout: Duration,
    /// How to print; json is etcdctl's, with keys and values in base64
    #[arg(short, long, value_name = "FORMAT", default_value = "simple")]
    pub(crate) write_out: Format,
}

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nobody could be asked.
    #[error("no member answers{}", listed(.0))]
    NobodyAnswers(Vec<(String, String)>),
    /// Some members answered and some did not.
    #[error("not every member answers{}", listed(.0))]
    SomeSilent(Vec<(String, String)>),
    /// A member answered that it did not do it.
    #[error("{endpoint}: {}", said(.status))]
    Refused {
        /// Who said so.
        endpoint: String,
        /// What it said.
        status: Box<Status>,
    },
    /// The write was sent and no answer says whether it happened.
    #[error("{endpoint}: {}\nThe write may have happened or not: read the key before you try again.", said(.status))]
    Unknown {
        /// Who was asked.
        endpoint: String,
        /// What came instead of an answer.
        status: Box<Status>,
    },
    /// No member is called so.
    #[error("the cluster has no member `{0}`; `floe member list` shows names and ids")]
    NoSuchMember(String),
    /// More than one is.
    #[error("several members are called `{0}`; give the id that `floe member list` shows")]
    SeveralMembers(String),
    /// Reading the input or writing the output failed.
    #[error("{0}")]
    Output(#[from] io::Error),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NobodyAnswers(_)
            | Self::SomeSilent(_)
            | Self::Refused { .. }
            | Self::NoSuchMember(_)
            | Self::SeveralMembers(_)
            | Self::Output(_) => 1,
            Self::Unknown { .. } => 3,
        }
    }
}

fn listed(tried: &[(String, String)]) -> String {
    tried.iter().map(|(endpoint, reason)| format!("\n  {endpoint}: {reason}")).collect()
}

fn said(status: &Status) -> String {
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => "no answer in time".to_owned(),
        _ => status.message().to_owned(),
    }
}

/// What comes after the scheme of an endpoint, if that is one that floe speaks.
pub(crate) fn address_of(endpoint: &str) -> Result<&str, String> {
    match endpoint.split_once("://") {
        None => Ok(endpoint),
        Some(("http", address)) => Ok(address),
        Some(("https", _)) => Err("TLS is not supported yet; use http".to_owned()),
        Some((scheme, _)) => Err(format!("`{scheme}` is no scheme that floe knows; use http")),
    }
}

impl Connection {
    /// Connects to one member.
    pub(crate) async fn connect(&self, endpoint: &str) -> Result<Channel, String> {
        let address = address_of(endpoint)?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|_| "not an address; it should be like 127.0.0.1:2379".to_owned())?
            .connect_timeout(self.dial_timeout)
            .tcp_nodelay(true);
        match endpoint.connect().await {
            Ok(channel) => Ok(channel),
            Err(error) => Err(innermost(&error)),
        }
    }

    /// Calls one member after another until one answers. Right for reads: asking twice changes nothing.
    pub(crate) async fn read<T>(
        &self,
        call: impl AsyncFn(Channel) -> Result<T, Status>,
    ) -> Result<T, Failure> {
        let mut tried = Vec::new();
        for endpoint in &self.endpoints {
            let reason = match self.connect(endpoint).await {
                Err(reason) => reason,
                Ok(channel) => match self.limited(call(channel)).await {
                    Ok(reply) => return Ok(reply),
                    Err(status) if is_of_this_member(&status) => said(&status),
                    Err(status) => return Err(refused(endpoint, status)),
                },
            };
            tried.push((endpoint.clone(), reason));
        }
        Err(Failure::NobodyAnswers(tried))
    }

    /// Sends a write to the first member that can be connected to, once: a write whose answer is lost may have
    /// happened, and sending it again could do it twice.
    pub(crate) async fn write<T>(
        &self,
        call: impl AsyncFn(Channel) -> Result<T, Status>,
    ) -> Result<T, Failure> {
        let mut tried = Vec::new();
        for endpoint in &self.endpoints {
            match self.connect(endpoint).await {
                Err(reason) => tried.push((endpoint.clone(), reason)),
                Ok(channel) => match self.limited(call(channel)).await {
                    Ok(reply) => return Ok(reply),
                    // It sends everybody away, so nothing has happened.
                    Err(status) if is_of_witness(&status) => tried.push((endpoint.clone(), said(&status))),
                    Err(status) => return Err(write_failure(endpoint, status)),
                },
            }
        }
        Err(Failure::NobodyAnswers(tried))
    }

    /// Gives a call the time that the command line allows.
    pub(crate) async fn limited<T>(
        &self,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        match tokio::time::timeout(self.command_timeout, call).await {
            Ok(reply) => reply,
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        }
    }
}

/// Whether a witness says that it does nothing for clients.
pub(crate) fn is_of_witness(status: &Status) -> bool {
    status.message().starts_with("floe: this member is a witness")
}

/// Whether another member may answer what this one did not.
fn is_of_this_member(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}

fn refused(endpoint: &str, status: Status) -> Failure {
    Failure::Refused { endpoint: endpoint.to_owned(), status: Box::new(status) }
}

/// Whether the write was refused instead of done: its code names what is wrong with the request, or with the store.
pub(crate) fn is_definite(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss
    ) || is_of_witness(status)
        || status.message() == "etcdserver: too many requests"
        || status.message() == "etcdserver: no leader"
        || status.message() == "etcdserver: unhealthy cluster"
        || status.message() == "etcdserver: re-configuration failed due to not enough started members"
}

fn write_failure(endpoint: &str, status: Status) -> Failure {
    if is_definite(&status) {
        return refused(endpoint, status);
    }
    Failure::Unknown { endpoint: endpoint.to_owned(), status: Box::new(status) }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_says_so_is_a_refusal() {
        for status in [
            Status::invalid_argument("etcdserver: key is not provided"),
            Status::unknown("etcdserver: too many requests"),
            Status::unavailable("etcdserver: no leader"),
            Status::unavailable("floe: this member is a witness, which holds no data"),
        ] {
            assert_eq!(write_failure("a", status).exit_code(), 1);
        }
        for status in [
            Status::unavailable("etcdserver: request timed out"),
            Status::unavailable("connection reset"),
            Status::deadline_exceeded("no answer in time"),
            Status::unknown("something else"),
        ] {
            let failure = write_failure("a", status);
            assert_eq!(failure.exit_code(), 3);
            assert!(failure.to_string().contains("may have happened"));
        }
    }
}
