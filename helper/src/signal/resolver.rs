//! Names to addresses without the C library: a static glibc's `getaddrinfo` loads the machine's
//! nsswitch modules and dies in those of another glibc. Asks the servers of `/etc/resolv.conf`, looks
//! into `/etc/hosts`, and needs neither for an address or `localhost`.

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use hickory_resolver::TokioResolver;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, OnceLock};

/// Looks names up. Reads its configuration at the first name that needs it.
#[derive(Debug, Clone, Default)]
pub(super) struct Resolver {
    dns: Arc<OnceLock<TokioResolver>>,
}

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            match without_asking(name) {
                Some(addresses) => Ok(addresses),
                None => self.ask(name).await,
            }
        })
    }
}

impl Resolver {
    async fn ask(&self, name: &str) -> Result<Vec<IpAddr>, ResolveDnsError> {
        let dns = match self.dns.get() {
            Some(dns) => dns,
            None => {
                let made = TokioResolver::builder_tokio()
                    .and_then(hickory_resolver::ResolverBuilder::build)
                    .map_err(ResolveDnsError::new)?;
                self.dns.get_or_init(|| made)
            }
        };
        let found = dns.lookup_ip(name).await.map_err(ResolveDnsError::new)?;
        Ok(found.iter().collect())
    }
}

/// The addresses of a name that is one, or that means this machine (RFC 6761).
fn without_asking(name: &str) -> Option<Vec<IpAddr>> {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(vec![address]);
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    (name == "localhost" || name.ends_with(".localhost"))
        .then(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_need_no_server() {
        assert_eq!(without_asking("127.0.0.1"), Some(vec![Ipv4Addr::LOCALHOST.into()]));
        assert_eq!(without_asking("[::1]"), Some(vec![Ipv6Addr::LOCALHOST.into()]));
        assert_eq!(without_asking("LOCALHOST.").map(|found| found.len()), Some(2));
        assert_eq!(without_asking("lambda.localhost").map(|found| found.len()), Some(2));
        assert_eq!(without_asking("lambda.eu-north-1.amazonaws.com"), None);
        assert_eq!(without_asking("notlocalhost"), None);
    }
}
