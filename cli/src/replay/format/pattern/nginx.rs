//! The variables of nginx: `$remote_addr - $remote_user [$time_local] "$request"`.

use super::super::part::Part;
use super::{CLF, CLIENTS, NUMBER, Piece, STATUS, WORD};

/// Splits a pattern into its variables and the text between them.
pub(super) fn pieces(words: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = words;
    while let Some((before, after)) = rest.split_once('$') {
        text += before;
        let (name, behind) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(braced) => braced,
            None => {
                let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                after.split_at(after.bytes().take_while(|byte| is_of_name(byte)).count())
            }
        };
        if name.is_empty() {
            text.push('$');
        } else {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(field(name));
        }
        rest = behind;
    }
    text += rest;
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

fn field(name: &str) -> Piece {
    let (part, shape) = match name {
        "remote_addr" => (Some((Part::Client, 0)), Some(CLIENTS)),
        "proxy_protocol_addr" | "realip_remote_addr" => (Some((Part::Client, 1)), Some(CLIENTS)),
        "http_x_real_ip" | "http_cf_connecting_ip" => (Some((Part::Client, 2)), Some(CLIENTS)),
        "http_x_forwarded_for" | "proxy_add_x_forwarded_for" => {
            (Some((Part::Forwarded, 0)), Some(CLIENTS))
        }
        "msec" => (Some((Part::Time, 0)), Some(r"\d+\.\d+")),
        "time_iso8601" => {
            (Some((Part::Time, 1)), Some(r"\d{4}-\d\d-\d\dT[0-9:.,]+(?:Z|[+-][0-9:]+)?"))
        }
        "time_local" => (Some((Part::Time, 2)), Some(CLF)),
        "remote_user" => (Some((Part::User, 0)), None),
        "request" => (Some((Part::Request, 0)), None),
        "request_method" => (Some((Part::Method, 0)), Some(WORD)),
        "request_uri" => (Some((Part::Target, 0)), None),
        "uri" | "document_uri" => (Some((Part::Target, 1)), None),
        "status" => (Some((Part::Status, 0)), Some(STATUS)),
        "body_bytes_sent" => (Some((Part::Bytes, 0)), Some(NUMBER)),
        "bytes_sent" => (Some((Part::Bytes, 1)), Some(NUMBER)),
        "host" | "server_name" | "server_port" | "remote_port" | "scheme" | "server_protocol"
        | "is_args" => (None, Some(WORD)),
        _ => (None, None),
    };
    Piece::Field { part, shape }
}
