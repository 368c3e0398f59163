//! The variables of nginx: `$remote_addr - $remote_user [$time_local] "$request"`.

use super::super::part::Part;
use super::Piece;
use super::shape::Shape;

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
            pieces.extend(Piece::take_text(&mut text));
            pieces.push(field(name));
        }
        rest = behind;
    }
    text += rest;
    pieces.extend(Piece::take_text(&mut text));
    pieces
}

fn field(name: &str) -> Piece {
    let (part, shape) = match name {
        "remote_addr" => (Some((Part::Client, 0)), Shape::Clients),
        "proxy_protocol_addr" | "realip_remote_addr" => (Some((Part::Client, 1)), Shape::Clients),
        "http_x_real_ip" | "http_cf_connecting_ip" => (Some((Part::Client, 2)), Shape::Clients),
        "http_x_forwarded_for" | "proxy_add_x_forwarded_for" => {
            (Some((Part::Forwarded, 0)), Shape::Clients)
        }
        "msec" => (Some((Part::Time, 0)), Shape::Decimal),
        "time_iso8601" => (Some((Part::Time, 1)), Shape::Iso),
        "time_local" => (Some((Part::Time, 2)), Shape::Clf),
        "remote_user" => (Some((Part::User, 0)), Shape::Any),
        "request" => (Some((Part::Request, 0)), Shape::Any),
        "request_method" => (Some((Part::Method, 0)), Shape::Word),
        "request_uri" => (Some((Part::Target, 0)), Shape::Any),
        "uri" | "document_uri" => (Some((Part::Target, 1)), Shape::Any),
        "status" => (Some((Part::Status, 0)), Shape::Status),
        "body_bytes_sent" => (Some((Part::Bytes, 0)), Shape::Number),
        "bytes_sent" => (Some((Part::Bytes, 1)), Shape::Number),
        "host" | "server_name" | "server_port" | "remote_port" | "scheme" | "server_protocol"
        | "is_args" => (None, Shape::Word),
        _ => (None, Shape::Any),
    };
    Piece::Field { part, shape }
}
