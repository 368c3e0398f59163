//! Routes: which requests a policy or an exemption is about.

use http::Method;

use crate::head::Head;

/// A method and a path, or the beginning of a path.
///
/// Paths are compared as the client sent them, byte by byte, as routers do: `/login` is neither
/// `/login/` nor `/%6cogin`. Give a policy the routes as the router knows them, and nothing reaches a
/// handler past it.
///
/// ```
/// use tidegate_tower::{Head, Route};
///
/// let request = http::Request::post("/login?next=/").body(()).unwrap();
/// assert!(Route::post("/login").matches(&Head::of(&request)));
/// assert!(!Route::get("/login").matches(&Head::of(&request)));
/// assert!(Route::any("/").and_below().matches(&Head::of(&request)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `None`: any.
    method: Option<Method>,
    path: Box<str>,
    is_prefix: bool,
}

impl Route {
    /// Makes a route of requests with any method and this path.
    pub fn any(path: &str) -> Self {
        Self { method: None, path: path.into(), is_prefix: false }
    }

    /// Makes a route of requests with this method and this path.
    pub fn new(method: Method, path: &str) -> Self {
        Self { method: Some(method), ..Self::any(path) }
    }

    /// Makes a route of `GET` requests with this path. `HEAD` is another method.
    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    /// Makes a route of `POST` requests with this path.
    pub fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    /// Has the route match every path below its own, too: `/api` then is `/api` and `/api/users`,
    /// and not `/apis`.
    #[must_use]
    pub fn and_below(mut self) -> Self {
        self.is_prefix = true;
        self
    }

    /// Returns whether a request is on this route.
    pub fn matches(&self, head: &Head<'_>) -> bool {
        let is_method = self.method.as_ref().is_none_or(|method| method == head.method());
        is_method && self.has_path(head.path())
    }

    fn has_path(&self, path: &str) -> bool {
        match path.strip_prefix(&*self.path) {
            Some("") => true,
            Some(rest) => self.is_prefix && (self.path.ends_with('/') || rest.starts_with('/')),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_below_ends_at_a_slash() {
        let api = Route::any("/api").and_below();
        assert!(api.has_path("/api") && api.has_path("/api/") && api.has_path("/api/users"));
        assert!(!api.has_path("/apis") && !api.has_path("/") && !api.has_path("/API"));
        assert!(Route::any("/").and_below().has_path("/anything"));
        assert!(!Route::any("/login").has_path("/login/"));
    }
}
