//! Limits in front of a service: what passes, what is denied, and what the responses say.

mod common;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tidegate::{OnFull, Quota};
use tidegate_tower::key::{self, Key, Trust};
use tidegate_tower::{
    BuildError, Exempt, LimitedBody, MAX_POLICIES, NoKey, Policy, RateLimit, RateLimitLayer,
    Reason, Route,
};
use tower::{Layer, Service, ServiceExt, service_fn};

use common::{admitted, ask, built, field, get, peer, per_minute, status};

#[tokio::test]
async fn each_peer_has_its_own_limit() {
    let (layer, clock) = built(RateLimitLayer::builder().policy(Policy::new("a", per_minute(3))));
    assert_eq!(admitted(&layer, || get("/", "192.0.2.1")).await, 3);
    assert_eq!(admitted(&layer, || get("/", "192.0.2.2")).await, 3);
    clock.advance(Duration::from_secs(20));
    assert_eq!(admitted(&layer, || get("/", "192.0.2.1")).await, 1);
}

#[tokio::test]
async fn an_ipv6_client_has_one_limit_for_its_network() {
    let (layer, _) = built(RateLimitLayer::builder().policy(Policy::new("a", per_minute(1))));
    assert_eq!(status(&layer, get("/", "2001:db8::1")).await, StatusCode::OK);
    assert_eq!(status(&layer, get("/", "2001:db8::2")).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status(&layer, get("/", "2001:db8:0:1::1")).await, StatusCode::OK);
    assert_eq!(status(&layer, get("/", "192.0.2.1")).await, StatusCode::OK);
    assert_eq!(status(&layer, get("/", "::ffff:192.0.2.1")).await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn clones_and_services_share_the_limit() {
    let (layer, _) = built(RateLimitLayer::builder().policy(Policy::new("a", per_minute(2))));
    let other = layer.clone();
    assert_eq!(status(&layer, get("/", "192.0.2.1")).await, StatusCode::OK);
    assert_eq!(status(&other, get("/", "192.0.2.1")).await, StatusCode::OK);
    assert_eq!(status(&layer, get("/", "192.0.2.1")).await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn responses_say_how_the_limit_stands() {
    let quota = per_minute(60).burst(2).expect("a quota");
    let (layer, _) = built(RateLimitLayer::builder().policy(Policy::new("default", quota)));
    let first = ask(&layer, get("/", "192.0.2.1")).await;
    assert_eq!(field(&first, "ratelimit-policy").as_deref(), Some(r#""default";q=2;w=2"#));
    assert_eq!(field(&first, "ratelimit").as_deref(), Some(r#""default";r=1;t=1"#));
    assert_eq!(field(&first, "retry-after"), None);
    assert_eq!(field(&first, "x-ratelimit-limit"), None);
    assert_eq!(first.body(), "served");

    ask(&layer, get("/", "192.0.2.1")).await;
    let denied = ask(&layer, get("/", "192.0.2.1")).await;
    assert_eq!(denied.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(field(&denied, "ratelimit-policy").as_deref(), Some(r#""default";q=2;w=2"#));
    assert_eq!(field(&denied, "ratelimit").as_deref(), Some(r#""default";r=0;t=1"#));
    assert_eq!(field(&denied, "retry-after").as_deref(), Some("1"));
    assert_eq!(field(&denied, "content-type").as_deref(), Some("application/problem+json"));
    let problem = r##"{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Too many requests","violated-policies":["default"]}"##;
    assert_eq!(denied.body(), problem);
}

#[tokio::test]
async fn a_client_that_waits_passes() {
    let (layer, clock) = built(RateLimitLayer::builder().policy(Policy::new("a", per_minute(7))));
    admitted(&layer, || get("/", "192.0.2.1")).await;
    let denied = ask(&layer, get("/", "192.0.2.1")).await;
    let wait = field(&denied, "retry-after").and_then(|wait| wait.parse().ok());
    assert_eq!(wait, Some(9));
    clock.advance(Duration::from_secs(9));
    assert_eq!(status(&layer, get("/", "192.0.2.1")).await, StatusCode::OK);
}

#[tokio::test]
async fn fields_can_be_left_out_and_old_ones_added() {
    let policy = || Policy::new("a", per_minute(60));
    let builder = RateLimitLayer::builder().policy(policy()).headers(false);
    let response = ask(&built(builder).0, get("/", "192.0.2.1")).await;
    assert!(response.headers().is_empty());

    let two = Policy::new("b", per_minute(3)).key(key::global());
    let builder = RateLimitLayer::builder().policy(policy()).policy(two).legacy_headers(true);
    let response = ask(&built(builder).0, get("/", "192.0.2.1")).await;
    assert_eq!(field(&response, "x-ratelimit-limit").as_deref(), Some("3"));
    assert_eq!(field(&response, "x-ratelimit-remaining").as_deref(), Some("2"));
    assert_eq!(field(&response, "x-ratelimit-reset").as_deref(), Some("20"));
    assert_eq!(field(&response, "ratelimit").as_deref(), Some(r#""a";r=59;t=1, "b";r=2;t=20"#));
}

#[tokio::test]
async fn all_limits_are_charged_or_none() {
    let all = Policy::new("all", per_minute(4)).key(key::global()).keys(1);
    let builder = RateLimitLayer::builder().policy(Policy::new("each", per_minute(3))).policy(all);
    let (layer, _) = built(builder);
    assert_eq!(admitted(&layer, || get("/", "192.0.2.1")).await, 3);
    // The limit of all has a cell left: the request that was denied has cost it nothing.
    let last = ask(&layer, get("/", "192.0.2.2")).await;
    assert_eq!(last.status(), StatusCode::OK);
    assert_eq!(field(&last, "ratelimit").as_deref(), Some(r#""each";r=2;t=20, "all";r=0;t=60"#));
    let denied = ask(&layer, get("/", "192.0.2.2")).await;
    assert_eq!(denied.status(), StatusCode::TOO_MANY_REQUESTS);
    let stands = field(&denied, "ratelimit");
    assert_eq!(stands.as_deref(), Some(r#""each";r=2;t=20, "all";r=0;t=15"#));
    assert!(denied.body().ends_with(br#""violated-policies":["all"]}"#));
}

#[tokio::test]
async fn as_many_policies_as_there_may_be() {
    for count in 1..=MAX_POLICIES {
        let policies =
            (0..count).map(|at| Policy::new(format!("p{at}"), per_minute(60 + at as u64)));
        let builder =
            policies.fold(RateLimitLayer::builder(), |builder, policy| builder.policy(policy));
        let (layer, _) = built(builder);
        let response = ask(&layer, get("/", "192.0.2.1")).await;
        let stands = field(&response, "ratelimit").expect("a field");
        assert_eq!(stands.split(", ").count(), count);
        assert_eq!(admitted(&layer, || get("/", "192.0.2.1")).await, 59, "the smallest decides");
    }
}

#[tokio::test]
async fn a_policy_is_about_its_routes() {
    let logins = Policy::new("logins", per_minute(1))
        .only(Route::post("/login"))
        .only(Route::any("/admin").and_below())
        .when(|head| !head.headers().contains_key("x-test"));
    let (layer, _) = built(RateLimitLayer::builder().policy(logins));
    let request = |method: &Method, path: &str| {
        let request = Request::builder().method(method).uri(path);
        request.extension(peer("192.0.2.1")).body(()).expect("a request")
    };
    assert_eq!(admitted(&layer, || request(&Method::GET, "/login")).await, 1_000);
    let unlimited = ask(&layer, request(&Method::GET, "/login")).await;
    assert_eq!(field(&unlimited, "ratelimit"), None);
    assert_eq!(status(&layer, request(&Method::POST, "/login?x")).await, StatusCode::OK);
    let denied = status(&layer, request(&Method::DELETE, "/admin/users")).await;
    assert_eq!(denied, StatusCode::TOO_MANY_REQUESTS);
    let mut excepted = request(&Method::POST, "/login");
    excepted.headers_mut().insert("x-test", "1".parse().expect("a value"));
    assert_eq!(status(&layer, excepted).await, StatusCode::OK);
}

#[tokio::test]
async fn a_request_costs_what_the_policy_says() {
    let uploads = Policy::new("uploads", per_minute(10))
        .cost(|head| head.content_length().map_or(5, |length| length.div_ceil(1_024)));
    let (layer, _) = built(RateLimitLayer::builder().policy(uploads));
    let upload = |length: &str| {
        let request = Request::post("/").extension(peer("192.0.2.1"));
        request.header("content-length", length).body(()).expect("a request")
    };
    // Nothing to upload, nothing to limit.
    assert_eq!(field(&ask(&layer, upload("0")).await, "ratelimit"), None);
    let third = ask(&layer, upload("3072")).await;
    assert_eq!(field(&third, "ratelimit").as_deref(), Some(r#""uploads";r=7;t=18"#));
    // What is no length counts as none: 5 cells.
    for (length, rest) in [("+1", 2)] {
        let response = ask(&layer, upload(length)).await;
        let expected = format!(r#""uploads";r={rest};t=48"#);
        assert_eq!(field(&response, "ratelimit"), Some(expected), "{length}");
    }
    assert_eq!(status(&layer, upload("2049")).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status(&layer, upload("2048")).await, StatusCode::OK);
    // More than there could ever be: no wait would help.
    let huge = ask(&layer, upload("18446744073709551615")).await;
    assert_eq!(huge.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(field(&huge, "retry-after"), None);
}

#[tokio::test]
async fn classes_have_quotas_of_their_own() {
    let api = Policy::new("api", per_minute(1))
        .key(key::header(http::HeaderName::from_static("x-user")))
        .class(per_minute(3))
        .class(per_minute(5))
        .class_by(|head| match head.header("x-class") {
            Some(b"paying") => 1,
            Some(b"partner") => 2,
            Some(_) => 77,
            None => 0,
        });
    let (layer, _) = built(RateLimitLayer::builder().policy(api));
    for (class, limit) in [("", 1), ("paying", 3), ("partner", 5)] {
        let request = || {
            let request = Request::get("/").header("x-user", class).header("x-class", class);
            request.body(()).expect("a request")
        };
        let first = ask(&layer, request()).await;
        let policy = format!(r#""api";q={limit};w=60"#);
        assert_eq!(field(&first, "ratelimit-policy"), Some(policy));
        assert_eq!(admitted(&layer, request).await, limit - 1);
    }
}

#[tokio::test]
async fn a_request_without_a_key_is_denied_shared_or_let_through() {
    let request = || Request::get("/").body(()).expect("a request");
    let policy = |no_key| {
        let policy = Policy::new("a", per_minute(2)).no_key(no_key);
        built(RateLimitLayer::builder().policy(policy)).0
    };
    let denied = ask(&policy(NoKey::Deny), request()).await;
    assert_eq!(denied.status(), StatusCode::FORBIDDEN);
    assert_eq!(denied.body(), "the request has no key to be limited by");
    assert_eq!(admitted(&policy(NoKey::Share), request).await, 2);
    assert_eq!(admitted(&policy(NoKey::Allow), request).await, 1_000);

    // No other policy has paid for the denial.
    let all = Policy::new("all", per_minute(1)).key(key::global());
    let builder = RateLimitLayer::builder().policy(all).policy(Policy::new("a", per_minute(2)));
    let (layer, _) = built(builder);
    assert_eq!(status(&layer, request()).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&layer, get("/", "192.0.2.1")).await, StatusCode::OK);
}

#[tokio::test]
async fn every_extractor_tells_keys_apart() {
    #[derive(Clone)]
    struct User(u64);

    let by_path = Policy::new("a", per_minute(1)).key(key::path());
    let (layer, _) = built(RateLimitLayer::builder().policy(by_path));
    assert_eq!(status(&layer, get("/a?1", "192.0.2.1")).await, StatusCode::OK);
    assert_eq!(status(&layer, get("/a?2", "192.0.2.2")).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status(&layer, get("/b", "192.0.2.1")).await, StatusCode::OK);

    let by_user = key::extension(|user: &User| Key::number(user.0));
    let by_user = Policy::new("a", per_minute(1)).key(by_user).no_key(NoKey::Allow);
    let (layer, _) = built(RateLimitLayer::builder().policy(by_user));
    let of = |id| Request::get("/").extension(User(id)).body(()).expect("a request");
    assert_eq!(status(&layer, of(1)).await, StatusCode::OK);
    assert_eq!(status(&layer, of(1)).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status(&layer, of(2)).await, StatusCode::OK);

    // A client that sends a header twice cannot choose which counts.
    let by_header = key::header(http::HeaderName::from_static("x-api-key"));
    let (layer, _) =
        built(RateLimitLayer::builder().policy(Policy::new("a", per_minute(1)).key(by_header)));
    let twice = Request::get("/").header("x-api-key", "a").header("x-api-key", "b");
    assert_eq!(status(&layer, twice.body(()).expect("one")).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn shadow_mode_denies_nothing_and_counts() {
    let builder = RateLimitLayer::builder().policy(Policy::new("a", per_minute(2)));
    let (layer, _) = built(builder.shadow(true));
    assert_eq!(admitted(&layer, || get("/", "192.0.2.1")).await, 1_000);
    assert_eq!(layer.backend().shadow_denials(0), 998);
    let response = ask(&layer, get("/", "192.0.2.1")).await;
    assert!(response.headers().is_empty(), "clients are told nothing");
    let keyless = Request::get("/").body(()).expect("a request");
    assert_eq!(status(&layer, keyless).await, StatusCode::OK);

    // One in shadow mode beside one that is not: the latter decides alone.
    let builder = RateLimitLayer::builder()
        .policy(Policy::new("shadow", per_minute(1)).shadow(true))
        .policy(Policy::new("real", per_minute(3)));
    let (layer, _) = built(builder);
    assert_eq!(admitted(&layer, || get("/", "192.0.2.1")).await, 3);
    assert_eq!((layer.backend().shadow_denials(0), layer.backend().shadow_denials(1)), (2, 0));
    let denied = ask(&layer, get("/", "192.0.2.1")).await;
    assert_eq!(field(&denied, "ratelimit").as_deref(), Some(r#""real";r=0;t=20"#));
}

#[tokio::test]
async fn exempt_requests_are_neither_limited_nor_counted() {
    let inside = key::forwarded(Trust::Hops(1));
    let builder = RateLimitLayer::builder()
        .policy(Policy::new("a", per_minute(1)))
        .exempt(Exempt::route(Route::get("/health")))
        .exempt(Exempt::networks(inside, ["10.0.0.0/8".parse().expect("a network")]))
        .exempt(Exempt::when(|head| head.method() == Method::OPTIONS));
    let (layer, _) = built(builder);
    assert_eq!(admitted(&layer, || get("/health", "192.0.2.1")).await, 1_000);
    assert_eq!(admitted(&layer, || get("/", "10.1.2.3")).await, 1_000);
    let forwarded = || {
        let mut request = get("/", "192.0.2.1");
        request.headers_mut().insert("x-forwarded-for", "10.1.2.3".parse().expect("a value"));
        request
    };
    assert_eq!(admitted(&layer, forwarded).await, 1_000);
    assert_eq!(admitted(&layer, || get("/", "192.0.2.1")).await, 1);
}

#[tokio::test]
async fn a_hook_makes_the_response_to_a_denial() {
    let builder = RateLimitLayer::builder()
        .policy(Policy::new("a", per_minute(1)))
        .policy(Policy::new("b", per_minute(1)))
        .on_denied(|denial, head| {
            assert_eq!((denial.reason(), denial.is_grpc()), (Reason::Quota, false));
            assert_eq!(denial.retry_after(), Some(Duration::from_secs(60)));
            let text = format!("{} by {:?}", head.path(), denial.policies());
            let mut response = denial.response();
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert("retry-after", 600.into());
            response.map(|_| Bytes::from(text))
        });
    let (layer, _) = built(builder);
    admitted(&layer, || get("/", "192.0.2.1")).await;
    let denied = ask(&layer, get("/page", "192.0.2.1")).await;
    assert_eq!(denied.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(denied.body(), r#"/page by ["a", "b"]"#);
    assert_eq!(field(&denied, "retry-after").as_deref(), Some("600"));
    assert_eq!(field(&denied, "ratelimit").as_deref(), Some(r#""a";r=0;t=60, "b";r=0;t=60"#));
}

#[tokio::test]
async fn two_layers_tell_their_limits_side_by_side() {
    let (outer, _) = built(RateLimitLayer::builder().policy(Policy::new("outer", per_minute(9))));
    let (inner, _) = built(RateLimitLayer::builder().policy(Policy::new("inner", per_minute(3))));
    let service = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service: RateLimit<_> = outer.layer(inner.layer(service));
    let response: Response<LimitedBody<_>> =
        service.oneshot(get("/", "192.0.2.1")).await.expect("infallible");
    let stands = field(&response, "ratelimit");
    assert_eq!(stands.as_deref(), Some(r#""inner";r=2;t=20, "outer";r=8;t=7"#));
}

#[tokio::test]
async fn a_full_table_answers_as_the_policy_says() {
    // Room for a few keys only.
    for (on_full, denied) in [(OnFull::Deny, true), (OnFull::Admit, false)] {
        let policy = Policy::new("a", per_minute(1)).keys(1).on_full(on_full);
        let (layer, _) = built(RateLimitLayer::builder().policy(policy));
        let mut denials = 0;
        for at in 0..1_000_u32 {
            let from = std::net::Ipv4Addr::from_bits(at).to_string();
            denials += usize::from(status(&layer, get("/", &from)).await != StatusCode::OK);
        }
        assert_eq!(denials > 0, denied, "{denials}");
        assert!(layer.backend().counters(0).expect("a limit").unplaced > 0);
    }
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_not_asked() {
    let (layer, _) = built(RateLimitLayer::builder().policy(Policy::new("a", per_minute(1))));
    let service = service_fn(|_: Request<()>| async {
        Err::<Response<Full<Bytes>>, _>("the service has failed")
    });
    let mut service = layer.layer(service);
    let ready = service.ready().await.expect("ready");
    let error = ready.call(get("/", "192.0.2.1")).await.expect_err("an error");
    assert_eq!(error, "the service has failed");
    // The request was charged.
    assert_eq!(status(&layer, get("/", "192.0.2.1")).await, StatusCode::TOO_MANY_REQUESTS);
}

#[test]
fn what_cannot_be_built_is_an_error() {
    let quota = per_minute(1);
    let build = |policies: Vec<Policy>| {
        let builder = RateLimitLayer::builder();
        policies.into_iter().fold(builder, |builder, policy| builder.policy(policy)).build()
    };
    assert!(matches!(build(vec![]), Err(BuildError::NoPolicy)));
    let many = (0..=MAX_POLICIES).map(|at| Policy::new(at.to_string(), quota)).collect();
    assert!(matches!(build(many), Err(BuildError::TooManyPolicies)));
    for name in ["", "\n", "naïve"] {
        let named = build(vec![Policy::new(name, quota)]);
        assert!(matches!(named, Err(BuildError::Name(wrong)) if wrong == name));
    }
    let twice = build(vec![Policy::new("a", quota), Policy::new("a", quota)]);
    assert!(matches!(twice, Err(BuildError::Name(name)) if name == "a"));
    let shaped = build(vec![Policy::new("a", quota.shape(Duration::from_secs(1)))]);
    assert!(matches!(shaped, Err(BuildError::Shaped(name)) if name == "a"));
    let keys = build(vec![Policy::new("a", quota).keys(usize::MAX)]);
    assert!(matches!(keys, Err(BuildError::Quota { policy, .. }) if policy == "a"));
    let huge = Quota::new(1, Duration::from_secs(1 << 33)).and_then(|quota| quota.burst(1 << 62));
    let huge = build(vec![Policy::new("a", huge.expect("a quota"))]);
    let text = huge.expect_err("an error").to_string();
    assert_eq!(text, r#"quota: that of the policy "a""#);
}
