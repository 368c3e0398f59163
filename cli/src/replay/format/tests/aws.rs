use super::{SECOND, Said, TEN, format, reason, said};

const ALB: &str = r#"https 2015-05-17T10:00:00.000001Z app/lb/1 192.0.2.1:40000 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET https://a.example:443/x?y=z HTTP/1.1" "agent 1.0" - - tg "Root=1" "-" "-" 0 2015-05-17T10:00:00.000000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-""#;
const S3: &str = r#"79a5 a-bucket [17/May/2015:10:00:00 +0000] 192.0.2.1 arn:aws:iam::1:user/alice 3E57 REST.GET.OBJECT a%20b.jpg "GET /a%20b.jpg HTTP/1.1" 200 - 2662 2662 70 10 "-" "agent 1.0" - x= SigV4 - AuthHeader a.example TLSv1.2"#;

#[test]
fn lines_of_load_balancers_come_apart() {
    let alb = format("alb");
    let expected = Said {
        nanos: TEN + 1_000,
        places: 6,
        client: "192.0.2.1:40000".into(),
        method: "GET".into(),
        target: "https://a.example:443/x?y=z".into(),
        status: Some(200),
        bytes: Some(366),
        ..Said::default()
    };
    assert_eq!(said(&*alb, ALB), expected);
    // There was no whole request: no target, and a client with a new address.
    let line = ALB
        .replace("192.0.2.1:40000", "[2001:db8::1]:40000")
        .replace("GET https://a.example:443/x?y=z HTTP/1.1", "- - - ")
        .replace(" 200 200 ", " 460 - ")
        .replace("https 2015", "h2 2015");
    let said = said(&*alb, &line);
    assert_eq!((&*said.client, &*said.method, &*said.target), ("[2001:db8::1]:40000", "", ""));
    assert_eq!(said.status, Some(460));
}

#[test]
fn lines_of_s3_come_apart() {
    let s3 = format("s3");
    let expected = Said {
        nanos: TEN,
        client: "192.0.2.1".into(),
        user: "arn:aws:iam::1:user/alice".into(),
        method: "GET".into(),
        target: "/a%20b.jpg".into(),
        status: Some(200),
        bytes: Some(2662),
        ..Said::default()
    };
    assert_eq!(said(&*s3, S3), expected);
    // The service itself removes what has expired.
    let line =
        S3.replace("192.0.2.1 arn:aws:iam::1:user/alice", "- AmazonS3").replace(":00 +", ":01 +");
    let said = said(&*s3, &line);
    assert_eq!((&*said.client, &*said.user, said.nanos), ("", "AmazonS3", TEN + SECOND));
}

#[test]
fn lines_that_are_not_of_amazon_say_so() {
    let alb = super::super::aws::Aws::Alb;
    let s3 = super::super::aws::Aws::S3;
    assert_eq!(reason(&alb, S3), "the first field is no protocol of ALB");
    assert_eq!(reason(&alb, "http"), "no timestamp");
    assert_eq!(reason(&alb, "http 2015-05-17T10:00:00Z app/lb/1"), "no client");
    assert_eq!(
        reason(&alb, &ALB.replace("2015-05-17T10", "2015-05-17T25")),
        "a timestamp unlike 2015-05-17T10:05:03Z"
    );
    assert_eq!(
        reason(&alb, &ALB.replace("192.0.2.1:40000", "192.0.2.1|2")),
        "the client is neither an address nor the name of a host"
    );
    let cut = ALB.split("HTTP/1.1").next().unwrap_or_default();
    assert_eq!(reason(&alb, cut), "no end of a quoted field");
    assert_eq!(reason(&s3, "79a5 a-bucket [17/May/2015"), "no end of a field in brackets");
    assert_eq!(reason(&s3, "79a5 a-bucket"), "no timestamp");
}
