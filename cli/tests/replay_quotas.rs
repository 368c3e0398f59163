//! Quotas, limits, filters and the quota to choose.

mod program;

use program::{denied, json, line, log, refusal, replay};

#[test]
fn several_quotas_are_a_line_each() {
    let log = log(&[("a", 0), ("a", 1), ("a", 2), ("b", 0)]);
    let arguments = ["-", "--quota", "1/min", "--quota", "2/min", "--quota", "100/min"];
    let outcome = json(&arguments, &log);
    let runs = outcome["runs"].as_array().expect("runs");
    let denied: Vec<_> = runs.iter().map(|run| run["readings"][0]["denied"].as_u64()).collect();
    assert_eq!(denied, [Some(2), Some(1), Some(0)]);
    let text = String::from_utf8(replay(&arguments, &log).stdout).expect("text");
    for words in ["1/min", "2/min", "100/min"] {
        assert_eq!(text.lines().filter(|line| line.trim_start().starts_with(words)).count(), 1);
    }
    // A burst for each quota, in order.
    let arguments = ["-", "--quota", "1/min", "--burst", "3", "--quota", "1/min", "--burst", "2"];
    let outcome = json(&arguments, &log);
    let denied = |run: usize| outcome["runs"][run]["readings"][0]["denied"].clone();
    assert_eq!((denied(0), denied(1)), (0.into(), 1.into()));
}

#[test]
fn several_limits_charge_all_or_none() {
    // Ten at once, then one a minute later: 3 a second lets 3 and 1 through.
    let mut requests = vec![("a", 0); 10];
    requests.push(("a", 60));
    let log = log(&requests);
    let limits = ["-", "--limit", "3/s", "--limit", "4/day", "--spread", "none"];
    let outcome = json(&limits, &log);
    let reading = &outcome["runs"][0]["readings"][0];
    assert_eq!(outcome["runs"][0]["limits"].as_array().map(Vec::len), Some(2));
    assert_eq!(reading["denied"], 7, "what the first denies costs the second nothing");
    assert_eq!(reading["denied_by"], serde_json::json!([7, 0]));
    let text = String::from_utf8(replay(&limits, &log).stdout).expect("text");
    assert!(text.contains("4/day"), "{text}");
    assert!(refusal(&["-", "--limit", "3/s", "--quota", "1/s"], &log).contains("--limit"));
}

#[test]
fn periods_have_their_usual_spellings() {
    let log = log(&[("a", 0), ("a", 7), ("a", 14), ("a", 40)]);
    for (quota, expected) in [
        ("1/10s", 1),
        ("2/20s", 0),
        ("6/min", 0),
        ("3/30s", 0),
        ("1/30s", 2),
        ("120/h", 2),
        ("120/hour", 2),
        ("6r/m", 0),
        ("1/w", 3),
        ("1/week", 3),
        ("1 per day", 3),
        ("1/month", 3),
    ] {
        let burst = if quota.starts_with("120") { &["--burst", "1"][..] } else { &[] };
        let arguments = [&["-", "--quota", quota][..], burst].concat();
        assert_eq!(denied(&arguments, &log)[0], expected, "{quota}");
    }
}

#[test]
fn a_queue_delays_before_it_denies() {
    // nginx: rate=1r/s, burst=5, without nodelay. Ten at once: one at once, five wait, four are
    // refused.
    let log = log(&[("a", 0); 10]);
    let queue = ["-", "--quota", "1r/s", "--burst", "1", "--max-wait", "5s", "--spread", "none"];
    let reading = json(&queue, &log)["runs"][0]["readings"][0].clone();
    assert_eq!((&reading["denied"], &reading["delayed"]), (&4.into(), &5.into()));
    assert_eq!(reading["longest_delay_nanos"], 5_000_000_000_u64);
    assert_eq!(reading["mean_delay_nanos"], 3_000_000_000_u64);
    assert!(refusal(&["-", "--max-wait", "soon"], &log).contains("--max-wait"));
}

#[test]
fn filters_say_what_counts() {
    let mut log = String::new();
    for path in ["/api/items", "/api/users", "/style.css", "/logo.png?v=2", "/login"] {
        log += &line("192.0.2.1", 0, path, "1");
    }
    log += &line("192.0.2.2", 0, "/login", "1").replace("GET", "POST").replace(" 200 ", " 401 ");
    log += &line("2001:db8::7", 0, "/login", "1");
    let requests = |filters: &[&str]| {
        let outcome = json(&[&["-"], filters].concat(), log.as_bytes());
        let counted = outcome["requests"].as_u64().expect("a number");
        assert_eq!(counted + outcome["left_out"].as_u64().expect("a number"), 7);
        counted
    };
    assert_eq!(requests(&[]), 7);
    assert_eq!(requests(&["--only", "path=/api/"]), 2);
    assert_eq!(requests(&["--only", "path=/api/", "--only", "path=/login"]), 5);
    assert_eq!(requests(&["--only", "path~^/api/(items|none)$"]), 1);
    assert_eq!(requests(&["--except", "static"]), 5);
    assert_eq!(requests(&["--only", "method=POST"]), 1);
    assert_eq!(requests(&["--only", "method=GET,POST"]), 7);
    assert_eq!(requests(&["--only", "status=4xx"]), 1);
    assert_eq!(requests(&["--except", "status=200-299"]), 1);
    assert_eq!(requests(&["--only", "address=192.0.2.0/24"]), 6);
    assert_eq!(requests(&["--except", "address=2001:db8::/32"]), 6);
    assert_eq!(requests(&["--only", "path=/login", "--only", "status=200"]), 2);
    for wrong in ["colour=red", "path~(", "status=xxx", "address=300.1.1.1", ""] {
        let text = refusal(&["-", "--only", wrong], log.as_bytes());
        assert!(text.contains("--only"), "{wrong}: {text}");
    }
    let output = replay(&["-", "--only", "path=/none"], log.as_bytes());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.contains("7 of 7 lines are filtered out"),
        "{errors}"
    );
}

#[test]
fn the_smallest_quota_that_denies_few_enough_is_found() {
    // A hundred clients ask once; one asks twenty times in a minute, evenly.
    let mut requests: Vec<(String, u32)> =
        (0..100).map(|client| (format!("c{client}"), 0)).collect();
    requests.extend((0..20).map(|request| ("busy".to_owned(), request * 3)));
    let log: String =
        requests.iter().map(|(client, second)| line(client, *second, "/", "1")).collect();
    let found = |arguments: &[&str]| {
        let outcome = json(&[&["-", "--find"], arguments].concat(), log.as_bytes());
        let periods = outcome["find"]["periods"].as_array().expect("periods").clone();
        let words = |period: &serde_json::Value| {
            format!("{}/{}", period["cells"], period["period"].as_str().expect("a word"))
        };
        (periods.iter().map(words).collect::<Vec<_>>(), periods)
    };
    let (words, periods) = found(&["0%"]);
    assert_eq!(words, ["1/s", "20/min", "20/hour", "20/day"]);
    assert_eq!(periods[1]["denied"], serde_json::json!([0]));
    let curve = periods[1]["curve"].as_array().expect("a curve");
    assert!(curve.len() >= 5 && curve[0][0] == 1, "{curve:?}");
    // Of 120 requests 15 may be denied: with 5 a minute, every fifth of the busy client's.
    let (words, _) = found(&["12.5%"]);
    assert_eq!(words[3], "5/day");
    // Of 101 keys one may be: any quota will do.
    let (words, _) = found(&["1%", "--of", "keys"]);
    assert_eq!(words, ["1/s", "1/min", "1/hour", "1/day"]);
    for wrong in ["101%", "-1%", "few", "NaN%"] {
        assert!(refusal(&["-", &format!("--find={wrong}")], log.as_bytes()).contains("--find"));
    }
}
