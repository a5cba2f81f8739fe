//! What is probed, read from a URL. It knows nothing of how that is done.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;
use ureq::http::Uri;

/// Something that can be probed.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Accepts connections.
    Tcp {
        /// Name or address, of IPv6 without brackets.
        host: String,
        /// Not 0.
        port: u16,
    },
    /// Answers a GET.
    Http(Uri),
}

/// Why a URL cannot be probed.
#[derive(Debug, Error)]
pub enum TargetError {
    #[error("not a URL; write tcp://HOST:PORT or http://HOST:PORT/PATH")]
    NotAUrl,
    #[error("a URL begins with tcp:// or http://, not with {0:?}")]
    Scheme(String),
    #[error("{0}")]
    Authority(&'static str),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        let uri: Uri = text.parse().map_err(|_| TargetError::NotAUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(TargetError::NotAUrl);
        };
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(TargetError::Authority("write a host, and no user name, after the //"));
        }
        let port = authority.port_u16().filter(|port| *port > 0);
        match scheme {
            "tcp" if !matches!(uri.path(), "" | "/") || uri.query().is_some() => {
                Err(TargetError::Authority("a tcp:// URL ends with the port"))
            }
            "tcp" => Ok(Target::Tcp {
                host: authority.host().trim_matches(['[', ']']).to_owned(),
                port: port.ok_or(TargetError::Authority("a tcp:// URL needs a port from 1 to 65535"))?,
            }),
            "http" if authority.as_str() != authority.host() && port.is_none() => {
                Err(TargetError::Authority("the port is not one from 1 to 65535"))
            }
            "http" => Ok(Target::Http(uri)),
            other => Err(TargetError::Scheme(format!("{other}://"))),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp { host, port } if host.contains(':') => write!(out, "tcp://[{host}]:{port}"),
            Target::Tcp { host, port } => write!(out, "tcp://{host}:{port}"),
            Target::Http(uri) => uri.fmt(out),
        }
    }
}
