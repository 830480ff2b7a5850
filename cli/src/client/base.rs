//! Addresses that a token may be sent to.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use reqwest::header::HeaderMap;

/// The address of a server: https, or http on this very machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl(Url);

/// An address that no token may be sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadUrl(&'static str);

impl BaseUrl {
    /// The address of a path below it.
    pub(crate) fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }

    /// The next page that an answer's `Link` header names. Of the link only the query counts: a server may not know by which address it
    /// is reached, and the token goes to no other than the one it is meant for.
    pub(crate) fn next_page(&self, from: &Url, headers: &HeaderMap) -> Option<Url> {
        let links = headers.get_all("link").iter().filter_map(|value| value.to_str().ok()).flat_map(links);
        let target = links.filter(|(_, is_next)| *is_next).map(|(target, _)| target).next()?;
        let link = from.join(target).ok()?;
        let mut next = from.clone();
        next.set_query(link.query());
        Some(next)
    }
}

/// The targets of a `Link` header, and whether each is the next page.
fn links(header: &str) -> impl Iterator<Item = (&str, bool)> {
    header.split('<').skip(1).filter_map(|part| {
        let (target, parameters) = part.split_once('>')?;
        let relation = parameters.split([';', ',']).filter_map(|parameter| parameter.trim().strip_prefix("rel="));
        Some((target, relation.map(|value| value.trim_matches('"')).any(|value| value.eq_ignore_ascii_case("next"))))
    })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

impl FromStr for BaseUrl {
    type Err = BadUrl;
    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let mut url =
            Url::parse(text.trim()).map_err(|_| BadUrl("it is not an address such as https://signoff.example"))?;
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        if !is_safe || url.cannot_be_a_base() {
            return Err(BadUrl("it has to be https, or http on this machine: a token would be sent there"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadUrl("it holds a name or a password, which has no place in an address"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadUrl("it ends with its path: no ? and no #"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_out_encrypted_or_not_at_all() {
        for good in [
            "https://signoff.example",
            "https://x.example/signoff/",
            "http://127.0.0.1:8787",
            "http://[::1]:1",
            "http://LOCALHOST:8787/",
            "http://127.8.9.1",
        ] {
            assert!(good.parse::<BaseUrl>().is_ok(), "{good}");
        }
        for bad in [
            "http://signoff.example",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://127.0.0.1@signoff.example",
            "https://alice:secret@signoff.example",
            "https://signoff.example?x=1",
            "https://signoff.example#x",
            "ftp://localhost",
            "file:///etc/passwd",
            "signoff.example",
            "",
        ] {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_stay_below_the_base_and_are_encoded() {
        let base: BaseUrl = "https://x.example/signoff/".parse().unwrap();
        assert_eq!(base.to_string(), "https://x.example/signoff");
        assert_eq!(base.join(&["v1", "a/../b?c"]).as_str(), "https://x.example/signoff/v1/a%2F..%2Fb%3Fc");
        let base: BaseUrl = "https://x.example".parse().unwrap();
        assert_eq!(base.join(&["v1", "requests"]).as_str(), "https://x.example/v1/requests");
    }

    #[test]
    fn the_next_page_is_on_the_same_server() {
        let base: BaseUrl = "https://x.example".parse().unwrap();
        let from = base.join(&["v1", "audit"]);
        let next = |link: &str| {
            let headers = HeaderMap::from_iter([(reqwest::header::LINK, link.parse().unwrap())]);
            base.next_page(&from, &headers).map(String::from)
        };
        let page = Some("https://x.example/v1/audit?cursor=2".to_owned());
        assert_eq!(next("</v1/audit?cursor=2>; rel=\"next\""), page);
        assert_eq!(next("</v1/audit>; rel=\"first\", <?cursor=2>; title=\"x\"; rel=next"), page);
        assert_eq!(next("<https://evil.example/elsewhere?cursor=2>; rel=\"next\""), page);
        assert_eq!(next("<//evil.example/?cursor=2>; rel=\"next\""), page);
        assert_eq!(next("</v1/audit>; rel=\"prev\""), None);
        assert_eq!(base.next_page(&from, &HeaderMap::new()), None);
    }
}
