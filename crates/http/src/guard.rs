//! Against web pages that would drive a service on loopback.
//!
//! A page from anywhere can make the browser on this machine send requests to `127.0.0.1`, and with a name
//! of its own that resolves there (DNS rebinding) it can read the answers too. The page cannot forge two
//! headers: `Host`, which then has the page's name, and `Origin`. So both are checked on every request, and
//! no CORS header is ever sent.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, ORIGIN};
use http::uri::Authority;

use crate::problem::{Kind, Problem};

/// The names under which the service may be called.
#[derive(Clone, Debug)]
pub struct Names {
    addr: SocketAddr,
    allowed: Arc<[String]>,
}

impl Names {
    /// The loopback names and the address that is listened on, and `allowed` besides, on any port.
    pub fn new(addr: SocketAddr, allowed: &[String]) -> Names {
        Names { addr, allowed: allowed.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    fn knows(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        match host.parse::<IpAddr>() {
            Ok(ip) if ip.is_loopback() || ip == self.addr.ip() => true,
            _ => host == "localhost" || self.allowed.contains(&host),
        }
    }

    fn check(&self, request: &Request) -> Result<(), Problem> {
        let hosts: Vec<_> = request.headers().get_all(HOST).iter().collect();
        let named = match (&hosts[..], request.uri().authority()) {
            // The absolute form of a request names the host in its target; it must then be that one.
            ([_], Some(target)) => Some(target.clone()),
            ([host], None) => Authority::try_from(host.as_bytes()).ok(),
            _ => None,
        };
        let Some(host) = named.filter(|authority| !authority.as_str().contains('@')) else {
            return Err(Problem::new(
                Kind::InvalidRequest,
                "a request names its host in exactly one valid Host header",
            ));
        };
        if !self.knows(host.host()) {
            return Err(Problem::new(
                Kind::ForeignHost,
                format!(
                    "`{}` is none of this service's names; call it as {} or localhost, or add the name to \
                     http.allowed_hosts",
                    host.host().chars().take(100).collect::<String>(),
                    self.addr
                ),
            ));
        }
        let Some(origin) = request.headers().get(ORIGIN) else { return Ok(()) };
        let same = origin.to_str().ok().and_then(|text| {
            let (_scheme, authority) = text.split_once("://")?;
            let origin: Authority = authority.parse().ok()?;
            let port_matches = origin.port_u16().unwrap_or(80) == host.port_u16().unwrap_or(80);
            Some(port_matches && origin.host().eq_ignore_ascii_case(host.host()))
        });
        if same == Some(true) {
            return Ok(());
        }
        Err(Problem::new(
            Kind::ForeignOrigin,
            "a page of another origin may not call this service; serve the page from the service's own \
             address, or call from a program that sends no Origin",
        ))
    }
}

/// Refuses requests that name a foreign host or come from a foreign page.
pub async fn guard(State(names): State<Names>, request: Request, next: Next) -> Response {
    match names.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn check(headers: &[(&str, &str)]) -> Result<(), Kind> {
        let addr = "127.0.0.1:7077".parse().expect("an address");
        let names = Names::new(addr, &["Plimsoll.internal".to_owned()]);
        let mut request = http::Request::builder().uri("/healthz");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        names.check(&request).map_err(|problem| problem.kind())
    }

    /// Proves T1.
    #[test]
    fn knows_its_own_names_and_no_others() {
        for host in [
            "127.0.0.1:7077",
            "localhost",
            "LOCALHOST:7077",
            "[::1]:7077",
            "127.0.0.2",
            "plimsoll.internal:80",
        ] {
            assert_eq!(check(&[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example", "evil.example:7077", "localhost.evil.example", "10.0.0.1"] {
            assert_eq!(check(&[("host", host)]), Err(Kind::ForeignHost), "{host}");
        }
        for host in ["user@localhost", "", "a b"] {
            assert_eq!(check(&[("host", host)]), Err(Kind::InvalidRequest), "{host}");
        }
        assert_eq!(check(&[]), Err(Kind::InvalidRequest), "none");
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(check(&twice), Err(Kind::InvalidRequest), "two");
    }

    /// Proves T1.
    #[test]
    fn refuses_pages_of_others() {
        let with = |origin| check(&[("host", "localhost:7077"), ("origin", origin)]);
        assert_eq!(with("http://localhost:7077"), Ok(()));
        for origin in ["http://evil.example", "http://localhost:8080", "http://localhost", "null", "", "://"]
        {
            assert_eq!(with(origin), Err(Kind::ForeignOrigin), "{origin:?}");
        }
    }
}
