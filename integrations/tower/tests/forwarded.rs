//! The address of the client: whatever a client writes, it cannot choose its key.

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use tidegate_tower::key::{self, Address, ForwardedField, Key, KeyExtractor, Trust};
use tidegate_tower::{Head, Policy, RateLimitLayer};

use common::{admitted, built, get, peer, per_minute, status};

const ROUNDS: u64 = if cfg!(debug_assertions) { 20_000 } else { 200_000 };

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A request from `from`, whose fields of this name have these values.
fn request(from: &str, name: &HeaderName, lines: &[Vec<u8>]) -> Request<()> {
    let mut request = get("/", from);
    for line in lines {
        let value = HeaderValue::from_bytes(line).expect("a value");
        request.headers_mut().append(name, value);
    }
    request
}

fn find(by: &Address, from: &str, lines: &[&str]) -> Option<IpAddr> {
    let name = HeaderName::from_static("x-forwarded-for");
    let lines: Vec<_> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    by.of(&Head::of(&request(from, &name, &lines)))
}

#[test]
fn hops_are_counted_from_the_right() {
    let (one, two) = (key::forwarded(Trust::Hops(1)), key::forwarded(Trust::Hops(2)));
    let lines = &["203.0.113.1, 203.0.113.2", "203.0.113.3"];
    assert_eq!(find(&key::peer(), "192.0.2.1", lines), Some(address("192.0.2.1")));
    assert_eq!(
        find(&key::forwarded(Trust::Hops(0)), "192.0.2.1", lines),
        Some(address("192.0.2.1"))
    );
    assert_eq!(find(&one, "192.0.2.1", lines), Some(address("203.0.113.3")));
    assert_eq!(find(&two, "192.0.2.1", lines), Some(address("203.0.113.2")));
    // One that has come past a proxy is not believed.
    assert_eq!(find(&two, "192.0.2.1", &["203.0.113.3"]), Some(address("192.0.2.1")));
    assert_eq!(find(&one, "192.0.2.1", &[]), Some(address("192.0.2.1")));
    // A proxy that says nothing: no key.
    assert_eq!(find(&one, "192.0.2.1", &["203.0.113.3, unknown"]), None);
    assert_eq!(find(&one, "192.0.2.1", &["::ffff:203.0.113.3"]), Some(address("203.0.113.3")));
}

#[test]
fn networks_are_trusted_as_far_as_they_go() {
    let trust = Trust::networks(["10.0.0.0/8", "2001:db8::/32"]).expect("networks");
    let by = key::forwarded(trust);
    let outside = "198.51.100.1, 203.0.113.9, 10.0.0.1";
    assert_eq!(find(&by, "192.0.2.1", &[outside]), Some(address("192.0.2.1")));
    assert_eq!(find(&by, "10.0.0.2", &[outside]), Some(address("203.0.113.9")));
    assert_eq!(find(&by, "::ffff:10.0.0.2", &[outside]), Some(address("203.0.113.9")));
    assert_eq!(find(&by, "2001:db8::7", &["[2001:db9::1]:443"]), Some(address("2001:db9::1")));
    assert_eq!(find(&by, "10.0.0.2", &["10.0.0.5"]), Some(address("10.0.0.5")));
    assert_eq!(find(&by, "10.0.0.2", &["nonsense, 10.0.0.5"]), None);
    assert_eq!(find(&by, "10.0.0.2", &["nonsense, 203.0.113.9"]), Some(address("203.0.113.9")));
    // A chain that does not end.
    let endless = vec!["10.0.0.5"; 10_000].join(",");
    assert_eq!(find(&by, "10.0.0.2", &[&endless]), None);
}

#[test]
fn only_the_field_that_was_named_counts() {
    let named = ForwardedField::Named(HeaderName::from_static("cf-connecting-ip"));
    let (hops, field) = (|| key::forwarded(Trust::Hops(1)), "for=203.0.113.2");
    let mut request = get("/", "192.0.2.1");
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.1"),
        ("forwarded", field),
        ("cf-connecting-ip", "203.0.113.3"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let head = Head::of(&request);
    assert_eq!(hops().of(&head), Some(address("203.0.113.1")));
    assert_eq!(hops().field(ForwardedField::Forwarded).of(&head), Some(address("203.0.113.2")));
    assert_eq!(hops().field(named).of(&head), Some(address("203.0.113.3")));
}

#[test]
fn without_a_peer_hops_still_count() {
    // As behind a proxy that connects by a Unix socket.
    let request = Request::get("/").header("x-forwarded-for", "203.0.113.1").body(());
    let (request, hops) = (request.expect("a request"), key::forwarded(Trust::Hops(1)));
    assert_eq!(hops.of(&Head::of(&request)), Some(address("203.0.113.1")));
    assert_eq!(key::peer().of(&Head::of(&request)), None);
    let networks = key::forwarded(Trust::networks(["0.0.0.0/0"]).expect("networks"));
    assert_eq!(networks.of(&Head::of(&request)), None);
}

/// Draws a text that a client may send: pieces of addresses, of elements and of nonsense.
fn nonsense(random: &mut Rng) -> Vec<u8> {
    const PIECES: [&[u8]; 24] = [
        b",",
        b", ",
        b"\"",
        b"\\",
        b"\\\"",
        b";",
        b"=",
        b"for=",
        b"for=\"",
        b"For=1.2.3.4",
        b"_x",
        b"unknown",
        b"1.2.3.4",
        b"10.0.0.1",
        b"[2001:db8::1]",
        b":443",
        b"[",
        b"]",
        b"\xff\xfe",
        b"\t",
        b" ",
        b"::ffff:10.0.0.1",
        b"by=\"a,b\"",
        b"x",
    ];
    let count = random.usize(0..12);
    (0..count).flat_map(|_| random.choice(PIECES).expect("one").to_vec()).collect()
}

fn draw(random: &mut Rng) -> IpAddr {
    if random.bool() {
        // None of the trusted networks.
        Ipv4Addr::from_bits(random.u32(0x2000_0000..0x8000_0000)).into()
    } else {
        Ipv6Addr::from_bits(random.u128(0x2600 << 112..0x2a00 << 112)).into()
    }
}

/// Writes an element as a proxy does.
fn element(random: &mut Rng, field: &ForwardedField, address: IpAddr) -> String {
    let port = if random.bool() { format!(":{}", random.u16(..)) } else { String::new() };
    if *field != ForwardedField::Forwarded {
        return match address {
            IpAddr::V4(address) => format!("{address}{port}"),
            IpAddr::V6(address) if port.is_empty() => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]{port}"),
        };
    }
    let name = random.choice(["for", "For", "FOR"]).expect("one");
    let node = match address {
        IpAddr::V4(address) if port.is_empty() => address.to_string(),
        IpAddr::V4(address) => format!("\"{address}{port}\""),
        IpAddr::V6(address) => format!("\"[{address}]{port}\""),
    };
    let others = ["", ";proto=https", ";by=\"_a,\\\"b\"", ";host=\"x, for=9.9.9.9\""];
    format!("{name}={node}{}", random.choice(others).expect("one"))
}

/// Whatever stands to the left of what the proxies have written, and however they have written it,
/// the address found is the one that the first of them has seen.
#[test]
fn what_a_client_writes_changes_nothing() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    for round in 0..ROUNDS {
        let (field, name) = random
            .choice([
                (ForwardedField::XForwardedFor, HeaderName::from_static("x-forwarded-for")),
                (ForwardedField::Forwarded, http::header::FORWARDED),
            ])
            .expect("one");
        let (client, proxies) = (draw(&mut random), random.usize(0..4));
        // The first proxy has seen the client, the others the proxy before them.
        let mut seen = vec![client];
        seen.extend((0..proxies).map(|at| address(&format!("10.0.0.{at}"))));
        let mut lines: Vec<Vec<u8>> =
            (0..random.usize(0..3)).map(|_| nonsense(&mut random)).collect();
        for &address in &seen {
            let element = element(&mut random, &field, address);
            match lines.last_mut() {
                // The empty line is no list to append to.
                Some(line) if random.bool() && !line.is_empty() => {
                    line.extend(b", ");
                    line.extend(element.bytes());
                }
                _ => lines.push(element.into_bytes()),
            }
        }
        let request = request("10.9.9.9", &name, &lines);
        let head = Head::of(&request);
        let hops = key::forwarded(Trust::Hops(seen.len())).field(field.clone());
        assert_eq!(hops.of(&head), Some(client), "round {round}: {lines:?}");
        let networks = key::forwarded(Trust::networks(["10.0.0.0/8"]).expect("a network"));
        assert_eq!(networks.field(field).of(&head), Some(client), "round {round}: {lines:?}");
    }
}

/// Nothing that a client sends makes an extractor panic, or gives it an address that is not there.
#[test]
fn nonsense_is_no_address_but_what_it_holds() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let held = ["1.2.3.4", "10.0.0.1", "2001:db8::1", "192.0.2.1"].map(address);
    for _ in 0..ROUNDS {
        for (field, name) in [
            (ForwardedField::XForwardedFor, HeaderName::from_static("x-forwarded-for")),
            (ForwardedField::Forwarded, http::header::FORWARDED),
        ] {
            let lines = [nonsense(&mut random), nonsense(&mut random)];
            let request = request("192.0.2.1", &name, &lines);
            let by = key::forwarded(Trust::Hops(random.usize(0..5))).field(field);
            let found = by.of(&Head::of(&request));
            assert!(
                found.is_none_or(|found| held.contains(&found) || is_longer(found)),
                "{lines:?}"
            );
        }
    }
}

/// Pieces that stand side by side may be other addresses: 1.2.3.410.0.0.1 is none, but ::ffff:10.0.0.1
/// after a digit is.
fn is_longer(found: IpAddr) -> bool {
    found.to_string().contains("10.0.0.1") || found.is_ipv6()
}

#[tokio::test]
async fn a_forged_field_does_not_escape_the_limit() {
    let by = key::forwarded(Trust::Hops(1));
    let (layer, _) =
        built(RateLimitLayer::builder().policy(Policy::new("a", per_minute(5)).key(by)));
    let count = std::cell::Cell::new(0_u32);
    let forged = || {
        count.set(count.get() + 1);
        let made_up = Ipv4Addr::from_bits(count.get());
        let line = format!("{made_up}, 203.0.113.7");
        request("10.0.0.1", &HeaderName::from_static("x-forwarded-for"), &[line.into_bytes()])
    };
    assert_eq!(admitted(&layer, forged).await, 5);
}

#[tokio::test]
async fn ten_thousand_headers_are_no_trouble() {
    let by = key::forwarded(Trust::Hops(2)).field(ForwardedField::Forwarded);
    let (layer, _) =
        built(RateLimitLayer::builder().policy(Policy::new("a", per_minute(2)).key(by)));
    let many = || {
        let mut request = Request::get("/").extension(peer("10.0.0.1")).body(()).expect("one");
        for at in 0..10_000_u32 {
            let line = format!("for=\"[2001:db8::{:x}]:{}\", \\\"", at & 0xffff, at & 0x3fff);
            let value = HeaderValue::try_from(line).expect("a value");
            request.headers_mut().append("forwarded", value);
        }
        let last = HeaderValue::from_static("for=203.0.113.7, for=10.0.0.2");
        request.headers_mut().append("forwarded", last);
        request
    };
    let begun = std::time::Instant::now();
    assert_eq!(admitted(&layer, many).await, 2);
    assert!(begun.elapsed().as_secs() < 20);
    // As one value, too.
    let long = format!("{}for=203.0.113.8, for=10.0.0.2", "for=\"\\\", ".repeat(100_000));
    let long = request("10.0.0.1", &http::header::FORWARDED, &[long.into_bytes()]);
    assert_eq!(status(&layer, long).await, StatusCode::OK);
}

#[tokio::test]
async fn long_keys_are_not_stored() {
    let by = key::header(HeaderName::from_static("x-api-key"));
    let (layer, _) =
        built(RateLimitLayer::builder().policy(Policy::new("a", per_minute(1)).key(by)));
    let long = |last: u8| {
        let mut key = vec![b'k'; 1 << 20];
        key.push(last);
        let value = HeaderValue::from_bytes(&key).expect("a value");
        Request::get("/").header("x-api-key", value).body(()).expect("a request")
    };
    assert_eq!(status(&layer, long(b'a')).await, StatusCode::OK);
    assert_eq!(status(&layer, long(b'a')).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status(&layer, long(b'b')).await, StatusCode::OK);
    // No text, but bytes.
    let bytes = || {
        let value = HeaderValue::from_bytes(b"\xff\xfe").expect("a value");
        Request::get("/").header("x-api-key", value).body(()).expect("a request")
    };
    assert_eq!(admitted(&layer, bytes).await, 1);
}

#[test]
fn encoded_keys_differ_where_keys_do() {
    let encoded = |key: &Key<'_>| {
        let mut buffer = Vec::new();
        key.encode(&mut buffer);
        buffer
    };
    let by = |from: &str| {
        let request = get("/", from);
        let key = key::peer().key(&Head::of(&request)).expect("a key");
        encoded(&key)
    };
    assert_eq!(by("192.0.2.1"), [b'a', 32, 192, 0, 2, 1]);
    assert_eq!(by("::ffff:192.0.2.1"), by("192.0.2.1"));
    assert_eq!(by("2001:db8::1"), by("2001:db8::2"));
    let keys = [
        Key::GLOBAL,
        Key::number(7),
        Key::text("7"),
        Key::text(""),
        Key::bytes(7_u64.to_be_bytes().to_vec()),
        Key::network("0.0.0.0/0".parse().expect("a network")),
        Key::network("::/0".parse().expect("a network")),
    ];
    for (at, key) in keys.iter().enumerate() {
        for other in &keys[..at] {
            assert_ne!(key, other);
            assert_ne!(encoded(key), encoded(other));
        }
    }
}
