//! Where programs put the parts of a line, and where `--json-fields` says that they are.

use std::fmt::Display;

use super::super::part::Part;
use super::find::{MOST_PATHS, Path};
use super::{Json, Zeros};
use crate::failure::Failure;

fn format(name: &'static str, zeros: Zeros, fields: &[(Part, &[&str])]) -> Json {
    let paths = fields.iter().flat_map(|&(part, names)| {
        names.iter().map(move |&names| Path { part, names: names.into() })
    });
    Json { name, paths: paths.collect(), zeros }
}

/// Creates the format of Caddy. Its clients are those that its trusted proxies name.
pub(in super::super) fn caddy() -> Json {
    let fields: [(Part, &[&str]); 8] = [
        (Part::Time, &["ts"]),
        (Part::Client, &["request.client_ip", "request.remote_ip", "request.remote_addr"]),
        (Part::Forwarded, &["request.headers.X-Forwarded-For"]),
        (Part::User, &["user_id"]),
        (Part::Method, &["request.method"]),
        (Part::Target, &["request.uri"]),
        (Part::Status, &["status"]),
        (Part::Bytes, &["size"]),
    ];
    format("caddy", Zeros::Dropped, &fields)
}

/// Creates the format of Traefik's JSON.
pub(in super::super) fn traefik() -> Json {
    let fields: [(Part, &[&str]); 8] = [
        (Part::Time, &["StartUTC", "StartLocal", "time"]),
        (Part::Client, &["ClientHost", "ClientAddr"]),
        (Part::Forwarded, &["request_X-Forwarded-For"]),
        (Part::User, &["ClientUsername"]),
        (Part::Method, &["RequestMethod"]),
        (Part::Target, &["RequestPath"]),
        (Part::Status, &["DownstreamStatus", "OriginStatus"]),
        (Part::Bytes, &["DownstreamContentSize", "OriginContentSize"]),
    ];
    format("traefik-json", Zeros::Dropped, &fields)
}

/// Creates the format of nginx's `log_format` with `escape=json`, whose fields most people name as
/// the variables.
pub(in super::super) fn nginx() -> Json {
    let fields: [(Part, &[&str]); 9] = [
        (
            Part::Time,
            &["msec", "time_iso8601", "time", "timestamp", "@timestamp", "ts", "time_local"],
        ),
        (Part::Client, &["remote_addr"]),
        (Part::Forwarded, &["http_x_forwarded_for", "x_forwarded_for", "x-forwarded-for"]),
        (Part::User, &["remote_user"]),
        (Part::Request, &["request"]),
        (Part::Method, &["request_method", "method"]),
        (Part::Target, &["request_uri", "uri", "path", "url"]),
        (Part::Status, &["status"]),
        (Part::Bytes, &["body_bytes_sent", "bytes_sent", "bytes"]),
    ];
    format("nginx-json", Zeros::Kept, &fields)
}

/// Creates the format of JSON lines whose fields have names that are in wide use.
pub(in super::super) fn known() -> Json {
    let fields: [(Part, &[&str]); 9] = [
        (
            Part::Time,
            &[
                "time",
                "timestamp",
                "@timestamp",
                "ts",
                "start_time",
                "time_iso8601",
                "time_local",
                "requestTime",
                "datetime",
                "date",
            ],
        ),
        (
            Part::Client,
            &[
                "client",
                "client_ip",
                "client.ip",
                "clientip",
                "clientIp",
                "remote_addr",
                "remoteAddr",
                "remote_ip",
                "remoteIp",
                "source.ip",
                "sourceIp",
                "ip",
                "downstream_remote_address",
                "client_addr",
                "remote",
                "httpRequest.remoteIp",
            ],
        ),
        (Part::Forwarded, &["x_forwarded_for", "http_x_forwarded_for", "x-forwarded-for"]),
        (Part::User, &["user", "remote_user", "user_id", "user.name"]),
        (Part::Request, &["request", "requestLine"]),
        (
            Part::Method,
            &[
                "method",
                "request_method",
                "http_method",
                "httpMethod",
                "verb",
                "httpRequest.requestMethod",
            ],
        ),
        (
            Part::Target,
            &[
                "path",
                "uri",
                "url",
                "request_uri",
                "url.original",
                "url.path",
                "resourcePath",
                "httpRequest.requestUrl",
            ],
        ),
        (
            Part::Status,
            &["status", "status_code", "response_code", "statusCode", "httpRequest.status"],
        ),
        (
            Part::Bytes,
            &[
                "bytes",
                "bytes_sent",
                "body_bytes_sent",
                "size",
                "responseLength",
                "httpRequest.responseSize",
            ],
        ),
    ];
    format("json", Zeros::KeptInStrings, &fields)
}

/// Creates the format of JSON lines whose fields are where the words say:
/// `client=ip,time=t,path=req.url`.
///
/// # Errors
///
/// Fails with what is wrong in the words.
pub(in super::super) fn json(words: &str) -> Result<Json, Failure> {
    let wrong = |reason: &dyn Display| {
        Failure::new(format_args!("--json-fields {}", words.escape_debug()), reason)
    };
    let mut paths: Vec<Path> = Vec::new();
    for word in words.split(',') {
        let Some((part, names)) = word.trim().split_once('=') else {
            return Err(wrong(&"not of the form client=FIELD,time=FIELD,path=FIELD"));
        };
        let part = match part {
            "client" => Part::Client,
            "time" => Part::Time,
            "forwarded" => Part::Forwarded,
            "user" => Part::User,
            "request" => Part::Request,
            "method" => Part::Method,
            "path" => Part::Target,
            "status" => Part::Status,
            "bytes" => Part::Bytes,
            _ => {
                return Err(wrong(&format_args!(
                    "{} is none of client, time, path, user, method, status, bytes, forwarded, \
                     request",
                    part.escape_debug()
                )));
            }
        };
        let names = names.strip_prefix('.').unwrap_or(names);
        if names.is_empty() {
            return Err(wrong(&"a field without a name"));
        }
        paths.push(Path { part, names: names.into() });
    }
    for (part, name) in [(Part::Client, "client"), (Part::Time, "time")] {
        if !paths.iter().any(|path| path.part == part) {
            return Err(wrong(&format_args!("no {name}")));
        }
    }
    if paths.len() > MOST_PATHS {
        return Err(wrong(&format_args!("more than {MOST_PATHS} fields")));
    }
    Ok(Json { name: "json", paths, zeros: Zeros::KeptInStrings })
}

#[cfg(test)]
mod tests {
    use super::super::find::MOST_PATHS;
    use super::{caddy, known, nginx, traefik};

    #[test]
    fn every_format_has_paths_that_fit_into_a_word() {
        for json in [caddy(), traefik(), nginx(), known()] {
            assert!(json.paths.len() <= MOST_PATHS, "{}", json.name);
        }
    }
}
