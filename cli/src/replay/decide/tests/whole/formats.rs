//! How each format writes a request.

use super::asked::Asked;

/// The option by which a command names the format.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given {
    Nothing,
    LogFormat(&'static str),
    JsonFields(&'static str),
}

/// A format, and how it writes requests.
pub(super) struct Format {
    /// The name that the result shows.
    pub(super) name: &'static str,
    pub(super) given: Given,
    pub(super) places: u8,
    pub(super) drops_zeros: bool,
    pub(super) has_user: bool,
    pub(super) has_bytes: bool,
    header: &'static str,
    line: fn(&Asked) -> String,
}

impl Format {
    /// Creates a format that the command detects. Its times have this number of decimal places, and
    /// its lines have users and bytes.
    fn new(name: &'static str, places: u8, line: fn(&Asked) -> String) -> Self {
        Self {
            name,
            given: Given::Nothing,
            places,
            drops_zeros: false,
            has_user: true,
            has_bytes: true,
            header: "",
            line,
        }
    }

    /// Returns the log of these requests.
    pub(super) fn write(&self, requests: &[Asked]) -> String {
        let lines = requests.iter().map(|asked| (self.line)(asked) + "\n");
        self.header.to_owned() + &lines.collect::<String>()
    }
}

fn common(asked: &Asked) -> String {
    let Asked { from, user, status, .. } = asked;
    let (clf, request, bytes) = (asked.clf(), asked.request(), asked.bytes_or_dash());
    format!("{from} - {user} [{clf}] \"{request}\" {status} {bytes}")
}

fn combined(asked: &Asked) -> String {
    common(asked) + " \"-\" \"an agent\""
}

pub(super) fn of_servers() -> Vec<Format> {
    vec![
        Format::new("common", 0, common),
        Format::new("combined", 0, combined),
        // Apache's `%{msec_frac}t`.
        Format::new("combined", 3, |asked| {
            let millis = asked.iso(".%3f");
            combined(asked).replace(&asked.clf(), &millis)
        }),
        Format::new("vhost_combined", 0, |asked| {
            "www.example.org:443 ".to_owned() + &combined(asked)
        }),
        Format::new("traefik", 0, |asked| {
            combined(asked) + " 17 \"router@docker\" \"http://10.0.0.1:80\" 2ms"
        }),
        Format {
            has_user: false,
            ..Format::new("haproxy", 3, |asked| {
                let Asked { from, status, bytes, .. } = asked;
                let (time, request) = (asked.utc("%d/%b/%Y:%H:%M:%S%.3f"), asked.request());
                format!(
                    "{from} [{time}] front~ back/server 1/0/1/1/3 {status} {bytes} - - ---- \
                     1/1/1/1/0 0/0 \"{request}\""
                )
            })
        },
        Format {
            header: "#Software: Microsoft Internet Information Services 10.0\n#Fields: date time \
                     s-ip cs-method cs-uri-stem cs-uri-query cs-username c-ip sc-status sc-bytes\n",
            ..Format::new("iis", 0, |asked| {
                let Asked { method, path, user, from, status, bytes, .. } = asked;
                let time = asked.utc("%Y-%m-%d %H:%M:%S");
                format!("{time} 10.0.0.1 {method} {path} - {user} {from} {status} {bytes}")
            })
        },
    ]
}

pub(super) fn of_json() -> Vec<Format> {
    vec![
        Format::new("nginx-json", 6, |asked| {
            let Asked { from, user, status, bytes, .. } = asked;
            let (time, request) = (asked.epoch(), asked.request());
            format!(
                r#"{{"msec":"{time}","remote_addr":"{from}","remote_user":"{user}","request":"{request}","status":"{status}","body_bytes_sent":"{bytes}"}}"#
            )
        }),
        Format { drops_zeros: true, ..Format::new("caddy", 6, caddy) },
        Format {
            drops_zeros: true,
            ..Format::new("traefik-json", 6, |asked| {
                let Asked { from, user, method, path, query, status, bytes, .. } = asked;
                let time = asked.utc("%Y-%m-%dT%H:%M:%S%.6f");
                let time = time.trim_end_matches('0');
                format!(
                    r#"{{"ClientHost":"{from}","ClientUsername":"{user}","DownstreamContentSize":{bytes},"DownstreamStatus":{status},"RequestMethod":"{method}","RequestPath":"{path}{query}","StartUTC":"{time}Z"}}"#
                )
            })
        },
        Format::new("json", 3, |asked| {
            let Asked { from, user, method, path, query, status, bytes, .. } = asked;
            let time = asked.iso(".%3f");
            format!(
                r#"{{"timestamp":"{time}","client_ip":"{from}","user":"{user}","method":"{method}","url":"{path}{query}","status":{status},"bytes":{bytes}}}"#
            )
        }),
        Format {
            given: Given::JsonFields(
                "client=from.ip,time=at,path=url,user=who,bytes=sent,method=verb,status=code",
            ),
            ..Format::new("json", 3, |asked| {
                let Asked { from, user, method, path, query, status, bytes, .. } = asked;
                let millis = asked.nanos / 1_000_000;
                format!(
                    r#"{{"at":{millis},"from":{{"ip":"{from}"}},"url":"http://a.example{path}{query}","verb":"{method}","who":"{user}","code":{status},"sent":{bytes}}}"#
                )
            })
        },
    ]
}

fn caddy(asked: &Asked) -> String {
    let Asked { from, user, method, path, query, status, bytes, .. } = asked;
    let time = asked.epoch();
    let time = time.trim_end_matches('0');
    format!(
        r#"{{"level":"info","ts":{time},"request":{{"client_ip":"{from}","method":"{method}","uri":"{path}{query}"}},"user_id":"{user}","size":{bytes},"status":{status}}}"#
    )
}

pub(super) fn of_clouds() -> Vec<Format> {
    vec![
        Format {
            has_user: false,
            ..Format::new("alb", 6, |asked| {
                let Asked { from, method, path, query, status, bytes, .. } = asked;
                let time = asked.utc("%Y-%m-%dT%H:%M:%S%.6fZ");
                format!(
                    "https {time} app/lb/1 {from} 10.0.0.1:80 0.000 0.001 0.000 {status} 200 17 \
                     {bytes} \"{method} https://a.example:443{path}{query} HTTP/1.1\" \"an agent\" -"
                )
            })
        },
        Format::new("s3", 0, |asked| {
            let Asked { from, user, status, .. } = asked;
            let (clf, request, bytes) = (asked.clf(), asked.request(), asked.bytes_or_dash());
            format!(
                "79a5 a-bucket [{clf}] {from} {user} 3E57 REST.GET.OBJECT a \"{request}\" {status} - \
                 {bytes} 9 7 6 \"-\" \"an agent\" -"
            )
        }),
        Format {
            has_user: false,
            header: "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method \
                     cs(Host) cs-uri-stem sc-status\n",
            ..Format::new("cloudfront", 0, |asked| {
                let Asked { from, method, path, status, bytes, .. } = asked;
                let time = asked.utc("%Y-%m-%d\t%H:%M:%S");
                format!("{time}\tLHR50\t{bytes}\t{from}\t{method}\ta.example\t{path}\t{status}")
            })
        },
    ]
}

pub(super) fn behind_prefixes() -> Vec<Format> {
    vec![
        Format::new("syslog combined", 0, |asked| {
            asked.utc("%b %e %H:%M:%S web1 nginx[7]: ") + &combined(asked)
        }),
        Format::new("compose combined", 0, |asked| "web-1  | ".to_owned() + &combined(asked)),
        Format::new("kubectl vhost_combined", 0, |asked| {
            "[pod/web-6d4b/nginx] a.example:443 ".to_owned() + &combined(asked)
        }),
        Format::new("time common", 0, |asked| asked.utc("%Y-%m-%dT%H:%M:%SZ ") + &common(asked)),
        Format {
            drops_zeros: true,
            ..Format::new("compose caddy", 6, |asked| "web-1  | ".to_owned() + &caddy(asked))
        },
    ]
}

const OF_NGINX: &str =
    "$remote_addr|$remote_user|$msec|$request_method|$request_uri|$status|$bytes_sent";
const OF_APACHE: &str = r#"%h %l %u %{%Y-%m-%d}t %{%T}t.%{usec_frac}t "%r" %>s %B"#;

pub(super) fn of_patterns() -> Vec<Format> {
    vec![
        Format {
            given: Given::LogFormat(OF_NGINX),
            ..Format::new(OF_NGINX, 6, |asked| {
                let Asked { from, user, method, path, query, status, bytes, .. } = asked;
                let time = asked.epoch();
                format!("{from}|{user}|{time}|{method}|{path}{query}|{status}|{bytes}")
            })
        },
        Format {
            given: Given::LogFormat(OF_APACHE),
            ..Format::new(OF_APACHE, 6, |asked| {
                let Asked { from, user, status, bytes, .. } = asked;
                let time = asked.utc("%Y-%m-%d %H:%M:%S%.6f");
                format!("{from} - {user} {time} \"{}\" {status} {bytes}", asked.request())
            })
        },
        Format {
            given: Given::LogFormat("syslog combined"),
            ..Format::new("syslog combined", 0, |asked| {
                asked.utc("<134>1 %Y-%m-%dT%H:%M:%SZ web1 nginx 7 - - ") + &combined(asked)
            })
        },
    ]
}
