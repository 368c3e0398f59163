//! The arguments of `tidegate replay`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use tidegate::OnFull;

use super::decide::{self, Capacity, MOST_KEYS};
use super::find::{Of, Share};
use super::limit::{self, Limit};
use super::outcome::Spread;
use super::select::{ClientField, ClientRule, Cost, Key, Selection};
use crate::failure::Failure;

/// Replays access logs against quotas: which clients would have been denied, and when.
///
/// Reads the logs of web servers, proxies and load balancers, plain, gzip or zstd, and finds out
/// their format from the first lines.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tidegate replay --demo                                 a built-in day
  tidegate replay access.log --quota 100/min --burst 20
  tidegate replay 'access.log*' --quota 60/min --quota 100/min --quota 1000/hour
  tidegate replay access.log --find 0.1%                 the quota to choose
  tidegate replay access.log --limit 10/s --limit 1000/day
  tidegate replay access.log --key client+path --only path=/login --quota 5/min
  tidegate replay access.log --quota 10r/s --burst 1 --max-wait 500ms
  tidegate replay access.log --cost bytes --quota 1000000/s --burst 50000000
  zcat access.log.*.gz | tidegate replay - --json | jq .runs
  tidegate replay access.log --format html --output report.html

Periods are s, min, hour, day, week and month (30 days), or several: 10/30s.
Exit status: 0; 2 with one line that names what is wrong; 3 with the result, if
more than one line in ten of a log was skipped.")]
pub(crate) struct Arguments {
    /// The logs; - is standard input. Patterns such as 'access.log*' are expanded
    files: Vec<PathBuf>,

    /// Replay a built-in synthetic day
    #[arg(long, conflicts_with = "files")]
    demo: bool,

    /// How many cells each key may take in a period, and after a pause the burst on top; a cell is
    /// a request, or a byte with --cost bytes. Several quotas are replayed one by one [default:
    /// 60/min]
    #[arg(long, value_name = "CELLS/PERIOD", allow_hyphen_values = true)]
    quota: Vec<String>,

    /// One of several limits at once: a request is admitted only if each admits it
    #[arg(long, value_name = "CELLS/PERIOD", allow_hyphen_values = true, conflicts_with = "quota")]
    limit: Vec<String>,

    /// The most cells at once, after a pause; a request that costs more never passes, unless
    /// --max-wait lets it wait. Give it once for all quotas or limits, or once for each of them
    /// [default: the cells of the quota]
    #[arg(long, value_name = "CELLS", allow_hyphen_values = true)]
    burst: Vec<u64>,

    /// Delay a request for up to this long, and deny it only if it would have to wait for longer:
    /// 500ms, 2s, 1min
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    max_wait: Option<String>,

    /// Find the smallest quota a second, a minute, an hour and a day that denies at most this share
    /// of the requests: 0.1%
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true,
          conflicts_with_all = ["quota", "limit", "burst", "capacity"])]
    find: Option<String>,

    /// What --find takes the share of
    #[arg(long, value_enum, default_value_t, requires = "find", allow_hyphen_values = true)]
    of: Of,

    /// Show only this reading where the log's times are too coarse to tell when a request came. By
    /// default the report shows both readings if their answers differ
    #[arg(long, value_enum, allow_hyphen_values = true)]
    pub(super) spread: Option<Spread>,

    /// What has a bucket of its own
    #[arg(long, value_enum, default_value_t, allow_hyphen_values = true)]
    key: Key,

    /// What a request costs: a cell, or a cell for each byte sent
    #[arg(long, value_enum, default_value_t, allow_hyphen_values = true)]
    cost: Cost,

    /// Count only the requests that match: path=PREFIX, path~REGEX, method=GET,POST, status=4xx or
    /// address=CIDR. Filters of one field are alternatives, and each field must match
    #[arg(long, value_name = "FILTER", allow_hyphen_values = true)]
    only: Vec<String>,

    /// Leave out the requests that match such a filter; `static` stands for pictures, style sheets,
    /// scripts and fonts
    #[arg(long, value_name = "FILTER", allow_hyphen_values = true)]
    except: Vec<String>,

    /// Which field of a line holds the client
    #[arg(long, value_enum, default_value_t, allow_hyphen_values = true)]
    client_field: ClientField,

    /// How many proxies at the right of a list of clients are trusted [default: those that have
    /// addresses of private networks]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    trusted_hops: Option<u32>,

    /// The bits of an IPv6 address that make a client
    #[arg(long, value_name = "BITS", default_value_t = 64, allow_hyphen_values = true,
          value_parser = clap::value_parser!(u8).range(0..=128))]
    ipv6_prefix: u8,

    /// The format of the logs: common, combined, vhost_combined, traefik, haproxy, alb, s3,
    /// cloudfront, iis, caddy, nginx-json, traefik-json, json, or a pattern in the words of nginx's
    /// log_format or Apache's LogFormat [default: found out from the first lines of each log]
    #[arg(long, value_name = "FORMAT", allow_hyphen_values = true)]
    pub(super) log_format: Option<String>,

    /// Read JSON lines with these fields: client=remote.ip,time=ts and so on, for client, time,
    /// path, user, method, status, bytes and forwarded
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true, conflicts_with = "log_format")]
    pub(super) json_fields: Option<String>,

    /// Decide as a table of the library would that is made for this many keys (37 bytes each), and
    /// that may be full [default: no table, and exact decisions]
    #[arg(long, value_name = "KEYS", value_parser = clap::value_parser!(u64).range(1..=MOST_KEYS),
          allow_hyphen_values = true)]
    pub(super) capacity: Option<u64>,

    /// What a full table answers to a new key
    #[arg(long, value_enum, default_value_t = Full::Deny, requires = "capacity",
          allow_hyphen_values = true)]
    on_full: Full,

    /// How many of the keys that were denied most to show
    #[arg(long, value_name = "N", default_value_t = 10, allow_hyphen_values = true)]
    pub(super) top: usize,

    /// How to print the result [default: text]
    #[arg(long, value_enum, allow_hyphen_values = true)]
    format: Option<Format>,

    /// Print JSON: the same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Write the result to this file; - is standard output [default: -]
    #[arg(long, short, value_name = "FILE", allow_hyphen_values = true,
          value_parser = OsStringValueParser::new().try_map(file))]
    output: Option<PathBuf>,

    /// Draw admitted and denied requests over time, or the curve of --find, into this file, too. If
    /// it is -, standard output gets the picture in place of the text
    #[arg(long, value_name = "FILE", allow_hyphen_values = true,
          value_parser = OsStringValueParser::new().try_map(file))]
    pub(super) svg: Option<PathBuf>,
}

/// Returns a word as the path of a file that is written. A word that looks like an option is
/// refused: the path before it was probably forgotten.
fn file(word: OsString) -> Result<PathBuf, &'static str> {
    match word.as_encoded_bytes() {
        [b'-', _, ..] => Err("looks like an option; a file of this name is written as ./-name"),
        _ => Ok(word.into()),
    }
}

/// What a full table answers to a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Full {
    /// Denied
    Deny,
    /// Admitted, and not counted
    Admit,
    /// Counted in buckets that such keys share
    Shared,
}

impl Full {
    fn policy(self) -> OnFull {
        match self {
            Self::Deny => OnFull::Deny,
            Self::Admit => OnFull::Admit,
            Self::Shared => OnFull::Shared,
        }
    }
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A summary, the keys that were denied most, and a chart
    Text,
    Json,
    Csv,
    /// A page in one file
    Html,
}

/// Where the requests come from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input<'a> {
    Logs(&'a [PathBuf]),
    BuiltInDay,
}

/// What is asked of the requests.
#[derive(Debug)]
pub(super) enum Question {
    /// What the quotas do, each by itself.
    Runs(Vec<decide::Question>),
    /// Which quotas are the smallest that deny at most this share, of what, and how long they may
    /// delay.
    Find(Share, Of, Duration),
}

impl Arguments {
    /// Returns where the requests come from.
    ///
    /// # Errors
    ///
    /// Fails if no log is named, unless `terminal` says that a person is there to see a built-in
    /// day.
    pub(super) fn input(&self, terminal: bool) -> Result<Input<'_>, Failure> {
        match &self.files[..] {
            [] if self.demo || terminal => Ok(Input::BuiltInDay),
            [] => Err(Failure::new("FILES", "nothing to read: name a log, - or --demo")),
            files => Ok(Input::Logs(files)),
        }
    }

    /// Returns what is asked.
    ///
    /// # Errors
    ///
    /// Fails with the option that is wrong.
    pub(super) fn question(&self) -> Result<Question, Failure> {
        let max_wait = self.max_wait.as_deref().map(limit::wait).transpose()?;
        if let Some(share) = &self.find {
            let max_wait = max_wait.unwrap_or_default();
            return Ok(Question::Find(Share::parse(share)?, self.of, max_wait));
        }
        let capacity = self.capacity.map(|keys| Capacity { keys, on_full: self.on_full.policy() });
        let question = |limits: &[Limit]| decide::Question::new(limits, capacity);
        if self.limit.is_empty() {
            let default = ["60/min".to_owned()];
            let words = if self.quota.is_empty() { &default } else { &self.quota[..] };
            let limits = self.limits("--quota", words, max_wait)?;
            let questions = limits.iter().map(|limit| question(std::slice::from_ref(limit)));
            Ok(Question::Runs(questions.collect::<Result<_, _>>()?))
        } else {
            let limits = self.limits("--limit", &self.limit, max_wait)?;
            Ok(Question::Runs(vec![question(&limits)?]))
        }
    }

    fn limits(
        &self,
        option: &str,
        words: &[String],
        max_wait: Option<Duration>,
    ) -> Result<Vec<Limit>, Failure> {
        let burst = |at: usize| match &self.burst[..] {
            [] => Ok(None),
            [burst] => Ok(Some(*burst)),
            bursts if bursts.len() == words.len() => Ok(Some(bursts[at])),
            bursts => {
                let (bursts, words) = (bursts.len(), words.len());
                let reason = format!(
                    "given {bursts} times for {words} of {option}: give it once, or as often"
                );
                Err(Failure::new("--burst", reason))
            }
        };
        let limits = words.iter().enumerate();
        limits.map(|(at, words)| Limit::parse(option, words, burst(at)?, max_wait)).collect()
    }

    /// Returns which requests count.
    ///
    /// # Errors
    ///
    /// Fails with the option that is wrong.
    pub(super) fn selection(&self) -> Result<Selection, Failure> {
        let client = ClientRule {
            field: self.client_field,
            trusted_hops: self.trusted_hops,
            ipv6_prefix: self.ipv6_prefix,
        };
        Selection::new(self.key, self.cost, client, &self.only, &self.except)
    }

    /// Returns the words for what has a bucket of its own, and for what a cell is.
    pub(super) fn key_and_cost(&self) -> [String; 2] {
        let word = |value: Option<clap::builder::PossibleValue>| {
            value.map_or_else(String::new, |value| value.get_name().to_owned())
        };
        [word(self.key.to_possible_value()), word(self.cost.to_possible_value())]
    }

    pub(super) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format.unwrap_or(Format::Text) }
    }

    /// Returns where the result is written, or `None` if only the picture is asked for, on standard
    /// output.
    pub(super) fn output(&self) -> Option<&Path> {
        let stdout = Path::new("-");
        let any = self.output.is_some() || self.format.is_some() || self.json;
        let only_picture = !any && self.svg.as_deref() == Some(stdout);
        (!only_picture).then(|| self.output.as_deref().unwrap_or(stdout))
    }
}
