//! Durations on the command line, as Go writes them: `300ms`, `1.5s`, `10m`, `1h30m`.

use std::time::Duration;

/// Reads a Go duration. A bare `0` is one, any other bare number is not: nobody could know its unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let error = || format!("`{text}` is no duration; write it like 300ms, 10s or 1h30m");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
        let amount: f64 = rest[..digits].parse().map_err(|_| error())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(error()),
        };
        seconds += amount * unit;
        rest = &rest[letters..];
    }
    if text.is_empty() {
        return Err(error());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| error())
}

/// Reads a number of milliseconds, as etcd takes it, or a Go duration.
pub(crate) fn parse_ms(text: &str) -> Result<u64, String> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    let duration =
        parse(text).map_err(|_| format!("`{text}` is neither milliseconds nor a duration like 300ms"))?;
    u64::try_from(duration.as_millis()).map_err(|_| format!("`{text}` is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_reads() {
        assert_eq!(parse("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse("0"), Ok(Duration::ZERO));
        for wrong in ["", "5", "s", "1x", "1s2", "-1s", "1e400s", "1..5s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn milliseconds_with_and_without_a_unit() {
        assert_eq!(parse_ms("300"), Ok(300));
        assert_eq!(parse_ms("1s"), Ok(1000));
        assert!(parse_ms("soon").is_err());
    }
}
