use super::super::super::entry::Wanted;
use super::super::super::stamp::Stamps;
use super::super::json_fields;
use super::{SECOND, Said, TEN, format, parse, reason, said};

const CADDY: &str = r#"{"level":"info","ts":1431856800.25,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"10.0.0.1","remote_port":"40000","client_ip":"192.0.2.1","proto":"HTTP/2.0","method":"GET","host":"a.example","uri":"/a?b=c","headers":{"X-Forwarded-For":["198.51.100.7, 10.0.0.2","10.0.0.3"],"Accept":["*/*"]}},"user_id":"alice","duration":0.001,"size":5,"status":200}"#;

#[test]
fn lines_of_caddy_come_apart() {
    let expected = Said {
        nanos: TEN + 250_000_000,
        // Caddy prints as many digits as the time needs.
        places: 6,
        client: "192.0.2.1".into(),
        forwarded: "198.51.100.7, 10.0.0.2, 10.0.0.3".into(),
        user: "alice".into(),
        method: "GET".into(),
        target: "/a?b=c".into(),
        status: Some(200),
        bytes: Some(5),
    };
    let caddy = format("caddy");
    assert_eq!(said(&*caddy, CADDY), expected);
    let old = r#"{"ts":"2015-05-17T10:00:00Z","request":{"remote_addr":"192.0.2.1:40000","method":"GET","uri":"/"},"user_id":"","status":0}"#;
    let expected = Said {
        nanos: TEN,
        client: "192.0.2.1:40000".into(),
        method: "GET".into(),
        target: "/".into(),
        ..Said::default()
    };
    assert_eq!(said(&*caddy, old), expected);
}

#[test]
fn lines_of_nginx_come_apart() {
    let nginx = format("nginx-json");
    let line = r#"{"time":"2015-05-17T10:00:00+00:00","remote_addr":"192.0.2.1","remote_user":"","request":"GET /a b HTTP/1.1","status":"200","body_bytes_sent":"5","http_x_forwarded_for":"-"}"#;
    let expected = Said {
        nanos: TEN,
        client: "192.0.2.1".into(),
        method: "GET".into(),
        target: "/a b".into(),
        status: Some(200),
        bytes: Some(5),
        ..Said::default()
    };
    assert_eq!(said(&*nginx, line), expected);
    // nginx writes all three digits, and more of them in the fields that are taken first.
    let line = r#"{ "time_local": "17/May/2015:10:00:00 +0000", "msec": 1431856800.500, "remote_addr": "192.0.2.1", "request_method": "GET", "request_uri": "/\"a\u0001", "status": 200, "bytes_sent": 5 }"#;
    let expected =
        Said { nanos: TEN + SECOND / 2, places: 3, target: "/\"a\u{1}".into(), ..expected };
    assert_eq!(said(&*nginx, line), expected);
}

#[test]
fn lines_of_traefik_come_apart() {
    let line = r#"{"ClientAddr":"192.0.2.1:40000","ClientHost":"192.0.2.1","ClientUsername":"-","DownstreamContentSize":5,"DownstreamStatus":200,"RequestMethod":"GET","RequestPath":"/a","StartUTC":"2015-05-17T10:00:00.1234Z","level":"info","msg":"","request_X-Forwarded-For":"198.51.100.7","time":"2015-05-17T10:00:01Z"}"#;
    let expected = Said {
        nanos: TEN + 123_400_000,
        places: 6,
        client: "192.0.2.1".into(),
        forwarded: "198.51.100.7".into(),
        user: String::new(),
        method: "GET".into(),
        target: "/a".into(),
        status: Some(200),
        bytes: Some(5),
    };
    assert_eq!(said(&*format("traefik-json"), line), expected);
    let line = r#"{"ClientAddr":"192.0.2.1:40000","time":"2015-05-17T10:00:00Z"}"#;
    assert_eq!(said(&*format("traefik-json"), line).client, "192.0.2.1:40000");
}

#[test]
fn fields_with_usual_names_are_found() {
    let json = format("json");
    for line in [
        r#"{"time":"2015-05-17T10:00:00Z","client_ip":"192.0.2.1"}"#,
        r#"{"@timestamp":"2015-05-17T10:00:00Z","client":{"ip":"192.0.2.1"}}"#,
        r#"{"@timestamp":"2015-05-17T10:00:00Z","client.ip":"192.0.2.1"}"#,
        r#"{"ts":1431856800,"ip":"192.0.2.1","time":null}"#,
        r#"{"requestTime":"17/May/2015:12:00:00 +0200","ip":"192.0.2.1"}"#,
    ] {
        let said = said(&*json, line);
        assert_eq!((said.nanos, said.places, &*said.client), (TEN, 0, "192.0.2.1"), "{line}");
    }
    // A number is printed as short as possible, and a string as its program wants it.
    for (time, places) in [("1431856800.5", 6), ("1431856800500", 3), ("\"1431856800.5\"", 1)] {
        let said = said(&*json, &format!(r#"{{"ts":{time},"ip":"192.0.2.1"}}"#));
        assert_eq!((said.nanos, said.places), (TEN + SECOND / 2, places), "{time}");
    }
}

#[test]
fn fields_are_found_where_they_are_said_to_be() {
    let json = json_fields(
        "client=req.from, time=.when, path=req.url.path, user=who,method=req.verb,status=res.code,bytes=res.size,forwarded=xff",
    );
    let json = json.expect("fields");
    let line = r#"{"who":"alice","xff":["198.51.100.7"],"req":{"url":{"path":"/a","path.x":1},"from":"192.0.2.1","verb":"GET","x":{"from":"192.0.2.9"}},"from":"192.0.2.8","res":{"code":200,"size":5},"when":1431856800}"#;
    let expected = Said {
        nanos: TEN,
        client: "192.0.2.1".into(),
        forwarded: "198.51.100.7".into(),
        user: "alice".into(),
        method: "GET".into(),
        target: "/a".into(),
        status: Some(200),
        bytes: Some(5),
        ..Said::default()
    };
    assert_eq!(said(&*json, line), expected);
    // One path may go on below another.
    let json = json_fields("client=a,time=a.b,path=a.b.c").expect("fields");
    assert_eq!(reason(&*json, r#"{"a":{"b":{"c":"/"}}}"#), "no timestamp");
    let line = r#"{"a.b":1431856800,"a":"192.0.2.1"}"#;
    assert_eq!(said(&*json, line).client, "192.0.2.1");
}

#[test]
fn mistakes_in_the_fields_are_named() {
    for (words, why) in [
        ("", "not of the form client=FIELD,time=FIELD,path=FIELD"),
        ("client", "not of the form client=FIELD,time=FIELD,path=FIELD"),
        ("client=a,time=", "a field without a name"),
        ("client=a,path=b", "no time"),
        ("time=a,path=b", "no client"),
        (
            "client=a,time=b,colour=c",
            "colour is none of client, time, path, user, method, status, bytes, forwarded, request",
        ),
    ] {
        let failure = json_fields(words).expect_err("a mistake").0;
        assert_eq!(failure, format!("--json-fields {words}: {why}"));
    }
    let words = vec!["client=a"; 64].join(",") + ",time=b";
    assert!(json_fields(&words).expect_err("too many").0.ends_with(": more than 64 fields"));
}

#[test]
fn bytes_that_are_no_text_stay_different() {
    let nginx = format("nginx-json");
    let read = |byte: u8| {
        let mut line =
            br#"{"msec":1431856800.500,"remote_addr":"192.0.2.1","request_uri":"/?"}"#.to_vec();
        let place = line.iter().position(|&byte| byte == b'?').expect("the place");
        line[place] = byte;
        let entry = nginx.parse(&line, Wanted::ALL, &mut Stamps::default());
        Said::from(entry.expect("a line").expect("a request"))
    };
    assert_eq!(read(b'a').target, "/a");
    assert_eq!(read(0xff).target, "/\u{ff}");
    assert_eq!(read(0xfe), Said { target: "/\u{fe}".into(), ..read(0xff) });
}

#[test]
fn lines_that_are_no_requests_say_so() {
    for (name, line, why) in [
        ("json", "x", "no JSON object"),
        ("json", "[1]", "no JSON object"),
        ("json", "{", "no valid JSON object"),
        ("json", "{}x", "no valid JSON object"),
        ("json", "{}", "no timestamp"),
        ("json", r#"{"time":"2015-05-17T10:00:00Z"}"#, "no client"),
        (
            "json",
            r#"{"time":"2015-05-17T10:00:00Z","ip":"a b"}"#,
            "the client is neither an address nor the name of a host",
        ),
        ("json", r#"{"time":true,"ip":"192.0.2.1"}"#, "no timestamp"),
        ("json", r#"{"time":{"ip":"192.0.2.1"}}"#, "no timestamp"),
        ("caddy", r#"{"ts":1431856800.5,"msg":"server running"}"#, "no client"),
        ("caddy", r#"{"ts":1431856800.5,"request":"GET /"}"#, "no client"),
        ("caddy", r#"{"ts":1431856800.5,"request":[1,"x",null,{}]}"#, "no client"),
        (
            "caddy",
            r#"{"ts":1e9,"request":{"client_ip":"192.0.2.1"}}"#,
            "a timestamp unlike 1431857103.123",
        ),
    ] {
        assert_eq!(reason(&*format(name), line), why, "{line}");
    }
    // An unknown client is none.
    let line = r#"{"time":"2015-05-17T10:00:00Z","ip":""}"#;
    assert_eq!(said(&*format("json"), line).client, "");
    assert_eq!(parse(&*format("json"), " "), Err("no JSON object"));
}

#[test]
fn objects_within_objects_do_not_exhaust_the_stack() {
    for depth in [100, 10_000] {
        for (name, inner) in [("x", "{"), ("request", r#"{"request":"#)] {
            let line = format!(r#"{{"{name}":{}"#, inner.repeat(depth));
            assert!(reason(&*format("caddy"), &line).contains("JSON"));
        }
        let line = format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(reason(&*format("caddy"), &line), "no timestamp");
    }
}
