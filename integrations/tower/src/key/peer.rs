//! The address of the peer, which the server has put into the extensions of the request.

use std::net::SocketAddr;

use crate::head::Head;

/// The address at the other end of the connection, as an extension of the request: for servers
/// whose own extension this crate does not know.
///
/// Those of axum (`into_make_service_with_connect_info::<SocketAddr>()`) and tonic are known by the
/// features of these names.
///
/// ```
/// use std::net::SocketAddr;
/// use tidegate_tower::key::PeerAddr;
///
/// # let peer: SocketAddr = "203.0.113.7:4711".parse().unwrap();
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PeerAddr(peer)); // where the server accepts connections
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Returns the address of the peer, if the server has said it.
pub(super) fn peer_of(head: &Head<'_>) -> Option<SocketAddr> {
    #[cfg(feature = "axum")]
    if let Some(info) = head.extension::<axum::extract::ConnectInfo<SocketAddr>>() {
        return Some(info.0);
    }
    #[cfg(feature = "tonic")]
    if let Some(info) = head.extension::<tonic::transport::server::TcpConnectInfo>() {
        return info.remote_addr();
    }
    head.extension::<PeerAddr>().map(|peer| peer.0)
}
