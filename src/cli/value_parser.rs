//! Parsers of flag values. clap prints their errors after the name of the flag.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::snapshot::TransportPreference;
use crate::ui::Format;
use crate::util::quantity::parse_quantity;

/// Parses a duration as kubectl does: `90s`, `5m`, `1h30m`, or a number of seconds.
pub(super) fn duration(word: &str) -> Result<Duration, String> {
    if let Ok(seconds) = word.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(word).map_err(|_| "expected a duration such as 90s, 5m or 1h30m".to_owned())
}

/// The longest duration. Clocks and the integers of Kubernetes can represent it.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Parses a duration that must not be zero.
pub(super) fn positive_duration(word: &str) -> Result<Duration, String> {
    match duration(word)? {
        Duration::ZERO => Err("must be more than zero".to_owned()),
        duration if duration > LONGEST => Err("must be at most 30 days (720h)".to_owned()),
        duration => Ok(duration),
    }
}

/// Parses a duration of at least a second, because Kubernetes counts in whole seconds.
pub(super) fn seconds(word: &str) -> Result<Duration, String> {
    match positive_duration(word)? {
        duration if duration < Duration::from_secs(1) => Err("must be at least 1s".to_owned()),
        duration => Ok(duration),
    }
}

/// Parses a size in bytes, as Kubernetes writes quantities: `500M`, `2Gi`.
pub(super) fn size(word: &str) -> Result<u64, String> {
    parse_quantity(word).ok_or_else(|| "expected a size such as 500M or 2Gi".to_owned())
}

/// Parses the name of a transport.
pub(super) fn transport() -> impl TypedValueParser<Value = TransportPreference> {
    PossibleValuesParser::new(TransportPreference::NAMES)
        .try_map(|name| TransportPreference::parse(&name).ok_or("unknown transport"))
}

pub(super) fn output_format(word: &str) -> Result<Format, String> {
    match word {
        "json" => Ok(Format::Json),
        "yaml" => Ok(Format::Yaml),
        "wide" => Ok(Format::Wide),
        "name" => Ok(Format::Name),
        file if file.contains(['.', '/', '\\']) || file == "-" => {
            Err(format!("expected a format, json or yaml; name the file with --out {file}"))
        }
        _ => Err("expected json or yaml; for members also wide or name".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_kubernetes_quantities() {
        assert_eq!(size("2Gi"), Ok(2 << 30));
        assert_eq!(size("0"), Ok(0));
        assert!(size("large").is_err());
    }

    #[test]
    fn durations_have_the_format_of_kubectl() {
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("soon").is_err());
        assert!(positive_duration("0s").is_err());
        assert_eq!(positive_duration("500ms"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn a_duration_has_at_most_30_days() {
        for word in ["18446744073709551615", "31d", "100years"] {
            assert!(positive_duration(word).expect_err(word).contains("30 days"), "{word}");
            assert!(seconds(word).is_err(), "{word}");
        }
        assert_eq!(seconds("720h"), Ok(LONGEST));
        assert_eq!(seconds("1s"), Ok(Duration::from_secs(1)));
        assert!(seconds("500ms").expect_err("less than a second").contains("at least 1s"));
    }
}
