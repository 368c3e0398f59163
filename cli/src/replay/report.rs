//! The outcome of a replay, for people and for programs.

mod axis;
mod columns;
mod complaints;
mod csv;
mod curve;
#[cfg(test)]
mod fixture;
mod html;
mod json;
mod numbers;
mod phrases;
mod svg;
mod text;
mod timeline;
mod times;

pub(crate) use self::complaints::complaints;
pub(crate) use self::csv::csv;
pub(crate) use self::html::html;
pub(crate) use self::json::json;
pub(crate) use self::svg::svg;
pub(crate) use self::text::text;
