//! Charts of rows: who has a line, and where its points are.

use tidegate_benches::plot::{Picture, pictures};

const ROWS: &str = r#"[
    {"bench": "map", "case": "get 90/10", "keys": 100000, "threads": 2,
     "ours_ns": 1000.0, "rival": "a<b", "rival_ns": 20.0, "ratio": 0.02},
    {"bench": "map", "case": "get 90/10", "keys": 1000, "threads": 2,
     "ours_ns": 10.0, "rival": "a<b", "rival_ns": 50.0, "ratio": 5.0},
    {"bench": "map", "case": "get 90/10", "keys": 10000, "threads": 2,
     "ours_ns": 100.0, "rival": "a<b", "rival_ns": 200.0, "ratio": 2.0},
    {"bench": "map", "case": "get 90/10", "keys": 1000, "threads": 2,
     "ours_ns": 10.0, "rival": "papaya", "rival_ns": 30.0, "ratio": 3.0},
    {"bench": "map", "case": "bytes", "keys": 1000, "threads": 1,
     "ours_ns": 76.0, "rival": "papaya", "rival_ns": 52.0, "ratio": 0.7, "unit": "bytes"},
    {"bench": "map", "case": "bytes", "keys": 10000, "threads": 1,
     "ours_ns": 76.0, "rival": "papaya", "rival_ns": 52.0, "ratio": 0.7, "unit": "bytes"},
    {"bench": "map", "case": "one size", "keys": 1000, "threads": 1,
     "ours_ns": 76.0, "rival": "papaya", "rival_ns": 52.0, "ratio": 0.7}
]"#;

fn picture() -> Picture {
    let mut pictures = pictures(ROWS).expect("rows");
    assert_eq!(pictures.len(), 1, "neither bytes nor a single size make a chart");
    pictures.remove(0)
}

/// The places of a contestant's points.
fn points(svg: &str, name: &str) -> Vec<(f64, f64)> {
    let (_, line) = svg.split_once(&format!("<title>{name}</title>\n")).expect("a line");
    let (_, line) = line.split_once("<polyline points=\"").expect("points");
    let (points, _) = line.split_once('"').expect("an end");
    let number = |number: &str| number.parse().expect("a number");
    let pair = |point: &str| {
        let (x, y) = point.split_once(',').expect("a pair");
        (number(x), number(y))
    };
    points.split(' ').map(pair).collect()
}

/// The place of the label `text` of an axis.
fn label(svg: &str, axis: &str, text: &str) -> (f64, f64) {
    let line = svg.lines().find(|line| {
        line.starts_with(&format!("<text class=\"{axis}\"")) && line.contains(&format!(">{text}<"))
    });
    let line = line.unwrap_or_else(|| panic!("no label {text}"));
    let number = |name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\"")).expect("an attribute");
        rest.split('"').next().and_then(|number| number.parse().ok()).expect("a number")
    };
    (number(" x"), number(" y"))
}

#[test]
fn each_contestant_has_a_line_with_its_name() {
    let Picture { file, svg } = picture();
    assert_eq!(file, "map-get-90-10-2-threads.svg");
    assert_eq!(svg.matches("<polyline").count(), 3);
    for (name, count) in [("tidegate", 3), ("a&lt;b", 3), ("papaya", 1)] {
        assert_eq!(points(&svg, name).len(), count, "{name}");
        assert!(svg.contains(&format!(">{name}</text>")), "{name}");
    }
    assert!(!svg.contains("a<b"));
    assert!(svg.contains("prefers-color-scheme:dark"));
}

#[test]
fn points_are_at_the_labels_of_their_numbers() {
    let Picture { svg, .. } = picture();
    let ours = points(&svg, "tidegate");
    let rival = points(&svg, "a&lt;b");
    for (point, (keys, time)) in
        ours.iter().zip([("1 k", "10"), ("10 k", "100"), ("100 k", "1000")])
    {
        assert!((point.0 - label(&svg, "keys", keys).0).abs() < 0.2, "{keys}: {point:?}");
        // A label's baseline is below the middle of its digits.
        assert!((point.1 + 4.0 - label(&svg, "time", time).1).abs() < 0.2, "{time}: {point:?}");
    }
    for (point, time) in rival.iter().zip(["50", "200", "20"]) {
        assert!((point.1 + 4.0 - label(&svg, "time", time).1).abs() < 0.2, "{time}: {point:?}");
    }
    // Equal factors are equal distances, and more time is higher up.
    assert!((ours[1].0 - f64::midpoint(ours[0].0, ours[2].0)).abs() < 0.2);
    assert!((ours[1].1 - f64::midpoint(ours[0].1, ours[2].1)).abs() < 0.2);
    assert!(ours[2].1 < ours[0].1);
}

#[test]
fn names_at_the_ends_of_lines_do_not_overlap() {
    let row = |rival: usize, keys: usize| {
        format!(
            r#"{{"bench": "b", "case": "c", "keys": {keys}, "threads": 1, "ours_ns": 10.0,
                "rival": "rival {rival}", "rival_ns": 10.0, "ratio": 1.0}}"#
        )
    };
    let rows: Vec<String> =
        (0..6).flat_map(|rival| [row(rival, 1_000), row(rival, 2_000)]).collect();
    let pictures = pictures(&format!("[{}]", rows.join(","))).expect("rows");
    let svg = &pictures[0].svg;
    let mut places: Vec<f64> = svg
        .lines()
        .filter(|line| line.starts_with("<text x=") && line.ends_with("</text></g>"))
        .filter_map(|line| line.split("y=\"").nth(1)?.split('"').next()?.parse().ok())
        .collect();
    places.sort_by(f64::total_cmp);
    assert_eq!(places.len(), 7);
    assert!(places.windows(2).all(|pair| pair[1] - pair[0] > 13.0), "{places:?}");
    assert!(places.iter().all(|&place| place > 0.0 && place < 440.0), "{places:?}");
}

#[test]
fn what_is_no_report_is_an_error() {
    assert!(pictures("{}").is_err());
    assert!(pictures(r#"[{"bench": "map"}]"#).is_err());
    assert_eq!(pictures("[]").expect("no rows"), []);
}

#[test]
fn hits_on_traces_are_one_chart() {
    const ROWS: &str = r#"[
        {"bench": "cache", "case": "hits web", "keys": 16, "threads": 1, "ours_ns": 50.0,
         "rival": "moka", "rival_ns": 40.0, "ratio": null, "unit": "hits in 100", "held": 80},
        {"bench": "cache", "case": "hits web", "keys": 16, "threads": 1, "ours_ns": 50.0,
         "rival": "lru", "rival_ns": 25.0, "ratio": 2.0, "unit": "hits in 100", "held": 16},
        {"bench": "cache", "case": "hits web", "keys": 100, "threads": 1, "ours_ns": 100.0,
         "rival": "moka", "rival_ns": 75.0, "ratio": 1.3, "unit": "hits in 100", "held": 100},
        {"bench": "cache", "case": "hits web", "keys": 100, "threads": 1, "ours_ns": 100.0,
         "rival": "lru", "rival_ns": 0.0, "ratio": 1.3, "unit": "hits in 100", "held": 100}
    ]"#;
    let mut pictures = pictures(ROWS).expect("rows");
    let Picture { file, svg } = pictures.pop().expect("a chart");
    assert!(pictures.is_empty(), "no other");
    assert_eq!(file, "cache-hits-on-traces.svg");
    for mark in ["tidegate 50.0", "moka 40.0", "lru 25.0", "tidegate 100.0", "lru 0.0"] {
        assert_eq!(svg.matches(&format!("<title>{mark}</title>")).count(), 1, "{mark}");
    }
    // What held too much is hollow.
    assert_eq!(svg.matches(r#"<circle class="hollow""#).count(), 1);
    assert!(svg.contains("<title>moka 40.0</title><circle class=\"hollow\""));
    for label in [">web 16<", ">web 100<"] {
        assert_eq!(svg.matches(label).count(), 1, "{label}");
    }
}
