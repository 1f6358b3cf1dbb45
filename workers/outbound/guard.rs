//! Resolve, check, connect: a name is looked up once a connection, every address it has is checked, and only
//! the checked ones are handed to whoever connects. A name that answers differently the next time is checked
//! the next time.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures::future::BoxFuture;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use url::Host;

use crate::domain::egress::Policy;

/// Addresses of one name that are looked at; a name with more is refused.
const MOST_ADDRESSES: usize = 64;

/// An address that may not be called.
#[derive(Debug, thiserror::Error)]
#[error("the address {0} may not be called")]
pub(super) struct Refused(IpAddr);

/// The word for it.
pub(in super::super) const REFUSED: &str = "address_refused";

/// Looks up the addresses of a name.
pub(in super::super) trait Lookup: Send + Sync {
    fn addresses(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// By the machine.
#[derive(Debug)]
pub(super) struct System;

impl Lookup for System {
    fn addresses(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found
                .map(|address| address.ip())
                .take(MOST_ADDRESSES + 1)
                .collect())
        })
    }
}

/// Keeps calls to the addresses of a policy.
#[derive(Clone)]
pub(super) struct Guard {
    policy: Arc<Policy>,
    lookup: Arc<dyn Lookup>,
}

impl Guard {
    pub(super) fn new(policy: Policy, lookup: Arc<dyn Lookup>) -> Self {
        Self {
            policy: Arc::new(policy),
            lookup,
        }
    }

    /// An address written as such in a URL is connected to without being looked up, so it is checked here.
    pub(super) fn check(&self, url: &Url) -> Result<(), Refused> {
        let address: IpAddr = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        permitted(&self.policy, address).map(|_| ())
    }
}

fn permitted(policy: &Policy, address: IpAddr) -> Result<IpAddr, Refused> {
    if policy.permits(address) {
        Ok(address)
    } else {
        Err(Refused(address))
    }
}

impl Resolve for Guard {
    /// One address that may not be called refuses the name: who owns it means no good, or is mistaken.
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, found) = (
            Arc::clone(&self.policy),
            self.lookup.addresses(name.as_str().to_owned()),
        );
        Box::pin(async move {
            let found = found.await?;
            if found.is_empty() || found.len() > MOST_ADDRESSES {
                let words = format!("a name with {} addresses", found.len());
                return Err(io::Error::other(words).into());
            }
            let checked: Result<Vec<SocketAddr>, Refused> = (found.into_iter())
                .map(|address| Ok(SocketAddr::new(permitted(&policy, address)?, 0)))
                .collect();
            let checked: Addrs = Box::new(checked?.into_iter());
            Ok(checked)
        })
    }
}

/// Whether a call failed because its address may not be called.
pub(super) fn refused(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        if error.is::<Refused>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, net::TcpListener, sync::Mutex, time::Duration};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::workers::outbound::{Door, failure};

    /// Gives these answers, one a look-up.
    struct Answers(Mutex<VecDeque<Vec<&'static str>>>);

    impl Lookup for Answers {
        fn addresses(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            let next = self.0.lock().unwrap().pop_front().unwrap_or_default();
            let next = next.iter().map(|text| text.parse().unwrap()).collect();
            Box::pin(async move { Ok(next) })
        }
    }

    fn door(allow: &str, answers: &[&[&'static str]]) -> Door {
        let policy = Policy {
            allow: allow.parse().unwrap(),
            private: false,
        };
        let second = Duration::from_secs(10);
        Door {
            lookup: Arc::new(Answers(Mutex::new(
                answers.iter().map(|list| list.to_vec()).collect(),
            ))),
            ..Door::new(second, second, policy)
        }
    }

    /// Answers every request with 204 and hangs up, so that the next one connects anew.
    async fn serve(listener: TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let read = connection.read(&mut head).await.unwrap();
            assert!(read > 0);
            let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            connection.write_all(answer).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_name_that_changes_its_address_is_checked_again_and_not_connected_to() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = open.local_addr().unwrap().port();
        // Of the same machine, and not among those that are allowed.
        let inner = TcpListener::bind(("127.0.0.2", port)).unwrap();
        inner.set_nonblocking(true).unwrap();
        tokio::spawn(serve(open));
        let answers: [&[&str]; 3] = [&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.1", "127.0.0.2"]];
        let outside = door("127.0.0.1", &answers).client().unwrap();
        let url = Url::parse(&format!("http://rebinding.example:{port}/")).unwrap();
        let first = outside.post(url.clone()).unwrap().send().await.unwrap();
        assert_eq!(first.status(), 204);
        for _ in 0..2 {
            let error = outside.post(url.clone()).unwrap().send().await.unwrap_err();
            assert_eq!(failure(&error), REFUSED, "{error:?}");
        }
        let reached = inner.accept().map(|_| ()).map_err(|error| error.kind());
        assert_eq!(reached, Err(io::ErrorKind::WouldBlock), "it was connected to");
        let none = outside.post(url).unwrap().send().await.unwrap_err();
        assert_eq!(failure(&none), "connect", "a name without addresses");
    }

    #[test]
    fn an_address_in_the_url_is_checked_in_every_way_to_write_it() {
        let outside = door("", &[]).client().unwrap();
        for refused in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://017700000001/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://169.254.169.254/latest/meta-data",
            "http://0/",
        ] {
            let url = Url::parse(refused).unwrap();
            assert_eq!(outside.post(url).err(), Some(REFUSED), "{refused}");
        }
        for good in ["http://8.8.8.8/", "https://mall.example/"] {
            assert!(outside.post(Url::parse(good).unwrap()).is_ok(), "{good}");
        }
    }
}
