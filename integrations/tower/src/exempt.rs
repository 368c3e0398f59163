//! Exemptions: requests that no policy is about.

use std::fmt;

use crate::head::Head;
use crate::key::{Address, Network};
use crate::route::Route;

/// Requests that are let through unlimited and uncounted.
///
/// ```
/// use tidegate_tower::{Exempt, Head, Route, key};
///
/// let health = Exempt::route(Route::get("/health"));
/// let monitoring = Exempt::networks(key::peer(), ["10.7.0.0/16".parse()?]);
/// let preflight = Exempt::when(|head| head.method() == http::Method::OPTIONS);
///
/// let request = http::Request::get("/health").body(()).unwrap();
/// assert!(health.covers(&Head::of(&request)));
/// assert!(!monitoring.covers(&Head::of(&request)) && !preflight.covers(&Head::of(&request)));
/// # Ok::<(), tidegate_tower::key::NetworkError>(())
/// ```
pub struct Exempt(Kind);

enum Kind {
    Route(Route),
    Networks(Address, Box<[Network]>),
    When(Box<dyn Fn(&Head<'_>) -> bool + Send + Sync>),
}

impl Exempt {
    /// Exempts the requests on a route.
    pub fn route(route: Route) -> Self {
        Self(Kind::Route(route))
    }

    /// Exempts the requests of clients in `networks`. `address` finds the address of the client.
    pub fn networks(address: Address, networks: impl IntoIterator<Item = Network>) -> Self {
        Self(Kind::Networks(address, networks.into_iter().collect()))
    }

    /// Exempts the requests for which `covers` returns true.
    pub fn when(covers: impl Fn(&Head<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Kind::When(Box::new(covers)))
    }

    /// Returns whether a request is exempt.
    pub fn covers(&self, head: &Head<'_>) -> bool {
        match &self.0 {
            Kind::Route(route) => route.matches(head),
            Kind::Networks(address, networks) => {
                let client = address.of(head);
                client.is_some_and(|client| networks.iter().any(|each| each.contains(client)))
            }
            Kind::When(covers) => covers(head),
        }
    }
}

impl fmt::Debug for Exempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Route(route) => f.debug_tuple("Exempt").field(route).finish(),
            Kind::Networks(_, networks) => f.debug_tuple("Exempt").field(networks).finish(),
            Kind::When(_) => f.write_str("Exempt(..)"),
        }
    }
}
