//! Metrics in the form that a scraper can read: OpenMetrics 1.0, as the library writes it, or Prometheus' older text
//! format 0.0.4, which it is converted to here. Crates that encode OpenMetrics don't encode the other.

use std::fmt::Write;

use super::accept::Accept;

/// The `Content-Type` of the older format.
pub const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Tells whether a scraper is to be given OpenMetrics. It must have named it, or like it better: who says nothing, or
/// takes everything, is given the older format, as Prometheus' own client libraries do, for everybody reads that.
pub fn wants_openmetrics(accept: &Accept) -> bool {
    let open = accept.takes("application", "openmetrics-text", Some("1.0.0"));
    let plain = accept.takes("text", "plain", Some("0.0.4"));
    open.weight > plain.weight || (open.named && open.weight > 0 && open.weight == plain.weight)
}

/// Converts OpenMetrics 1.0 to the text format 0.0.4. There a family of counters has the name of its samples, what
/// belongs to no sample (units, the end) isn't written, and a sample has neither exemplar nor moment of creation.
pub fn to_plain(open: &str) -> String {
    let mut plain = String::with_capacity(open.len());
    let (mut help, mut kind) = (None, "");
    for line in open.lines() {
        let Some(about) = line.strip_prefix("# ") else {
            // A family whose type isn't said.
            if let Some((name, text)) = help.take() {
                write_help(&mut plain, name, "", text);
            }
            write_sample(&mut plain, line, kind);
            continue;
        };
        match *about.splitn(3, ' ').collect::<Vec<_>>() {
            ["HELP", name, text] => (help, kind) = (Some((name, text)), ""),
            ["TYPE", name, said] => {
                let suffix = match said {
                    "counter" => "_total",
                    "info" => "_info",
                    _ => "",
                };
                let said_there = match said {
                    "info" | "stateset" => "gauge",
                    "unknown" | "gaugehistogram" => "untyped",
                    same => same,
                };
                if let Some((_, text)) = help.take() {
                    write_help(&mut plain, name, suffix, text);
                }
                let _ = writeln!(plain, "# TYPE {name}{suffix} {said_there}");
                kind = said;
            }
            // Units, and the end.
            _ => {}
        }
    }
    plain
}

/// Writes a help text; a quote needs no backslash there.
fn write_help(plain: &mut String, name: &str, suffix: &str, text: &str) {
    let _ = write!(plain, "# HELP {name}{suffix} ");
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, chars.clone().next()) {
            ('\\', Some('"')) => {}
            ('\\', Some(escaped)) => {
                plain.extend(['\\', escaped]);
                chars.next();
            }
            _ => plain.push(char),
        }
    }
    plain.push('\n');
}

fn write_sample(plain: &mut String, line: &str, kind: &str) {
    let (series, rest) = line.split_at(end_of_series(line));
    let name = series.split('{').next().unwrap_or_default();
    if ["counter", "histogram", "summary"].contains(&kind) && name.ends_with("_created") {
        return;
    }
    let (numbers, _exemplar) = rest.split_once(" # ").unwrap_or((rest, ""));
    let mut numbers = numbers.split_ascii_whitespace();
    let _ = write!(plain, "{series} {}", numbers.next().unwrap_or_default());
    // Seconds there, milliseconds here.
    if let Some(time) = numbers.next().and_then(|time| time.parse::<f64>().ok()) {
        let _ = write!(plain, " {:.0}", time * 1000.0);
    }
    plain.push('\n');
}

/// Finds the end of a sample's name and labels: the first blank outside quotes.
fn end_of_series(line: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let end = line.bytes().position(|byte| {
        let is_escaped = std::mem::take(&mut escaped);
        match byte {
            b'\\' if quoted => escaped = !is_escaped,
            b'"' if !is_escaped => quoted = !quoted,
            _ => {}
        }
        byte == b' ' && !quoted
    });
    end.unwrap_or(line.len())
}

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT;
    use axum::http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn what_the_older_format_does_not_have_is_left_out_and_the_rest_is_exact() {
        let open = r#"# HELP build The "library" and C:\\ and \"this\" and \\"that\\".
# TYPE build info
build_info{version="1 # 2",path="a\\",text="say \"} no\""} 1
# HELP requests Requests.
# TYPE requests counter
# UNIT requests requests
requests_total{code="200"} 17.0 1520879607.789 # {trace="x # y"} 0.67
requests_created{code="200"} 1520430000.123
# TYPE took_seconds histogram
# UNIT took_seconds seconds
took_seconds_bucket{le="0.1"} 8 # {} 0.054
took_seconds_bucket{le="+Inf"} 9
took_seconds_sum 1.5e-3
took_seconds_count 9
took_seconds_created 1520430000.123
# HELP odd No type.
odd NaN
# TYPE thing unknown
thing 4
# EOF
"#;
        let plain = r#"# HELP build_info The "library" and C:\\ and "this" and \\"that\\".
# TYPE build_info gauge
build_info{version="1 # 2",path="a\\",text="say \"} no\""} 1
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200"} 17.0 1520879607789
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1"} 8
took_seconds_bucket{le="+Inf"} 9
took_seconds_sum 1.5e-3
took_seconds_count 9
# HELP odd No type.
odd NaN
# TYPE thing untyped
thing 4
"#;
        assert_eq!(to_plain(open), plain);
    }

    #[test]
    fn a_scraper_is_given_what_it_asks_for_and_everybody_else_the_older_format() {
        for (accept, open) in [
            ("", false),
            ("*/*", false),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
            ("text/plain", false),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", false),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", true),
            (
                "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                true,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                true,
            ),
            ("application/openmetrics-text;q=0.2, text/plain;q=0.7", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;version=0.0.1, text/plain;q=0.1", false),
            ("application/openmetrics-text, text/plain", true),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
                false,
            ),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
            }
            assert_eq!(wants_openmetrics(&Accept::of(&headers)), open, "{accept}");
        }
    }
}
