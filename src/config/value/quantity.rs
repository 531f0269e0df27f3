//! The parsers of numbers, durations, sizes and shares.

use std::num::{IntErrorKind, NonZeroUsize, ParseIntError};
use std::str::FromStr;
use std::time::Duration;

use super::{InvalidValue, ValueText};
use crate::process::LocalMemory;

/// The default limit of remote executions.
pub(in crate::config) const REMOTE_JOBS: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// No count is larger: so many things of a kind can be kept in memory.
const MOST: NonZeroUsize = NonZeroUsize::new(1 << 14).expect("not zero");

/// A whole number within bounds. A source tree gets the nearest one to what it asks for: its file may
/// be written for larger machines.
fn whole<T>(input: &ValueText<'_>, least: T, most: T) -> Option<T>
where
    T: FromStr<Err = ParseIntError> + Ord,
{
    match input.text.parse::<T>() {
        Ok(number) if (&least..=&most).contains(&&number) => Some(number),
        Ok(number) if input.in_tree && number > most => Some(most),
        Err(error) if input.in_tree => match error.kind() {
            IntErrorKind::PosOverflow => Some(most),
            IntErrorKind::NegOverflow => Some(least),
            _ => None,
        },
        _ => None,
    }
}

/// A whole number.
pub(in crate::config) fn number(input: &ValueText<'_>) -> Result<u32, InvalidValue> {
    let number = whole(input, u32::MIN, u32::MAX);
    number.ok_or_else(|| InvalidValue::new("expected a whole number"))
}

/// A whole number, which may be negative.
pub(in crate::config) fn integer(input: &ValueText<'_>) -> Result<i32, InvalidValue> {
    let number = whole(input, i32::MIN, i32::MAX);
    number.ok_or_else(|| InvalidValue::new("expected a whole number"))
}

/// A whole number that is not 0.
pub(in crate::config) fn count(input: &ValueText<'_>) -> Result<NonZeroUsize, InvalidValue> {
    let number = whole(input, NonZeroUsize::MIN, MOST);
    number.ok_or_else(|| InvalidValue::new(format!("expected a whole number from 1 to {MOST}")))
}

/// A whole number that is not 0, or `auto`.
pub(in crate::config) fn count_or_auto(
    input: &ValueText<'_>,
) -> Result<Option<NonZeroUsize>, InvalidValue> {
    if input.text == "auto" {
        return Ok(None);
    }
    let number = count(input).map(Some);
    number.map_err(|invalid| invalid.hint("write a number or `auto`"))
}

/// How large a number is.
pub(in crate::config) fn number_taken(input: Option<&ValueText<'_>>) -> Result<u64, InvalidValue> {
    Ok(input.map(number).transpose()?.unwrap_or(0).into())
}

/// How far a priority is before others: lower numbers come first.
pub(in crate::config) fn precedence(input: Option<&ValueText<'_>>) -> Result<u64, InvalidValue> {
    let number = input.map(integer).transpose()?.unwrap_or(0);
    Ok(i32::MAX.abs_diff(number).into())
}

/// How many processors a number of local jobs takes.
pub(in crate::config) fn slots_taken(input: Option<&ValueText<'_>>) -> Result<u64, InvalidValue> {
    let chosen = input.map(count_or_auto).transpose()?.flatten();
    let processors = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Ok(chosen.unwrap_or_else(processors).get() as u64)
}

/// No duration is longer: a moment so far ahead can still be computed.
const LONGEST_DURATION: Duration = Duration::from_hours(24 * 365 * 100);

/// A duration in Bazel's form: `90s`, `5m`, `1h`, `500ms`; a plain number counts seconds.
fn duration(text: &str) -> Result<Duration, InvalidValue> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let duration = number
        .parse()
        .ok()
        .and_then(|number: u64| match unit.trim() {
            "ms" => Some(Duration::from_millis(number)),
            "s" | "" => Some(Duration::from_secs(number)),
            "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
            "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
            "d" => Some(Duration::from_secs(number.checked_mul(86400)?)),
            _ => None,
        });
    duration.map(|it| it.min(LONGEST_DURATION)).ok_or_else(|| {
        InvalidValue::new("expected a duration")
            .hint("write it as in 500ms, 90s, 5m or 1h; a plain number counts seconds")
    })
}

/// Parses a duration as options do, for variables that are not options.
///
/// # Errors
/// What the text should have been.
pub fn time_span(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|invalid| {
        let hint = invalid.hint.unwrap_or_default();
        format!("{}: {hint}", invalid.reason)
    })
}

pub(in crate::config) fn positive_duration(
    input: &ValueText<'_>,
) -> Result<Duration, InvalidValue> {
    let duration = duration(input.text)?;
    if duration.is_zero() {
        return Err(InvalidValue::new("must be greater than zero"));
    }
    Ok(duration)
}

/// `None` for a duration of 0.
pub(in crate::config) fn duration_or_zero(
    input: &ValueText<'_>,
) -> Result<Option<Duration>, InvalidValue> {
    Ok(Some(duration(input.text)?).filter(|duration| !duration.is_zero()))
}

/// How long something may last, in milliseconds: longest without a limit.
pub(in crate::config) fn time_taken(input: Option<&ValueText<'_>>) -> Result<u64, InvalidValue> {
    let limit = input.map(duration_or_zero).transpose()?.flatten();
    let in_time = limit.and_then(|limit| u64::try_from(limit.as_millis()).ok());
    Ok(in_time.unwrap_or(u64::MAX))
}

/// Bytes, as in `500M` or `20G`. Units are powers of 1024, with or without a `B` or `iB` behind
/// them.
fn bytes(text: &str) -> Result<u64, InvalidValue> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_uppercase();
    let unit = unit.strip_suffix('B').unwrap_or(&unit);
    let shift = match unit.strip_suffix('I').unwrap_or(unit) {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => 64,
    };
    let bytes = number
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(1_u64.checked_shl(shift)?));
    bytes.ok_or_else(|| InvalidValue::new("expected a size").hint("write it as in 500M, 20G or 1T"))
}

pub(in crate::config) fn size(input: &ValueText<'_>) -> Result<u64, InvalidValue> {
    bytes(input.text)
}

/// How many jobs a size makes large ones: more, the smaller it is.
pub(in crate::config) fn smallness(input: Option<&ValueText<'_>>) -> Result<u64, InvalidValue> {
    Ok(u64::MAX - input.map(size).transpose()?.unwrap_or(0))
}

/// `None` for a size of 0.
pub(in crate::config) fn size_or_zero(input: &ValueText<'_>) -> Result<Option<u64>, InvalidValue> {
    Ok(Some(bytes(input.text)?).filter(|&size| size > 0))
}

/// A share in percent, decimals allowed, with or without the sign.
pub(in crate::config) fn percent(input: &ValueText<'_>) -> Result<f64, InvalidValue> {
    let number = input.text.strip_suffix('%').unwrap_or(input.text).trim();
    let is_plain = number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let percent = number.parse().ok();
    percent
        .filter(|percent| is_plain && (0.0..=100.0).contains(percent))
        .ok_or_else(|| {
            InvalidValue::new("expected a percentage from 0 to 100")
                .hint("write it as in 2, 0.5 or 100")
        })
}

/// The memory for compilers here: `auto`, `off`, or as Bazel takes it, a number of MiB or a part of
/// `HOST_RAM`; also a size with a unit.
pub(in crate::config) fn local_memory(input: &ValueText<'_>) -> Result<LocalMemory, InvalidValue> {
    match input.text {
        "auto" => Ok(LocalMemory::Free),
        "off" => Ok(LocalMemory::Unlimited),
        text => memory_size(text, LocalMemory::of_host()).map(LocalMemory::AtMost),
    }
}

/// How much memory a setting takes at most. Each leaves what is not free, but for `off`.
pub(in crate::config) fn memory_taken(input: Option<&ValueText<'_>>) -> Result<u64, InvalidValue> {
    Ok(
        match input.map(local_memory).transpose()?.unwrap_or_default() {
            LocalMemory::AtMost(bytes) => bytes.min(u64::MAX - 2),
            LocalMemory::Free => u64::MAX - 1,
            LocalMemory::Unlimited => u64::MAX,
        },
    )
}

fn memory_size(text: &str, host: Option<u64>) -> Result<u64, InvalidValue> {
    const MIB: u64 = 1 << 20;
    let invalid = || {
        InvalidValue::new("expected an amount of memory")
            .hint("write it as in 8G, HOST_RAM*.5 or HOST_RAM-2048; a plain number counts MiB")
    };
    let mebibytes = |text: &str| text.parse().ok().and_then(|it: u64| it.checked_mul(MIB));
    let Some(part) = text.strip_prefix("HOST_RAM") else {
        let amount = mebibytes(text).or_else(|| bytes(text).ok());
        return amount.filter(|amount| *amount > 0).ok_or_else(invalid);
    };
    // Where the kernel does not say what there is, no part of it is a limit.
    let host = host.unwrap_or(u64::MAX);
    if part.is_empty() {
        return Ok(host);
    }
    if let Some(less) = part.strip_prefix('-').and_then(mebibytes) {
        return Ok(host.saturating_sub(less));
    }
    let factor = part.strip_prefix('*').and_then(|it| it.parse().ok());
    let factor = factor.filter(|it: &f64| it.is_finite() && *it > 0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an amount of memory need not be exact, and casts of large numbers saturate"
    )]
    let product = |factor: f64| (host as f64 * factor) as u64;
    factor.map(product).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::environment::Environment;

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(duration("60"), Ok(Duration::from_mins(1)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(bytes("10G"), Ok(10 << 30));
        assert_eq!(bytes("500 MiB"), Ok(500 << 20));
        assert_eq!(bytes("7"), Ok(7));
        for bad in ["", "s", "-1s", "1.5s", "5 parsecs", "99999999999999999999"] {
            assert!(duration(bad).is_err(), "{bad}");
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert!(bytes("18446744073709551615K").is_err());
        assert!(duration("18446744073709551615d").is_err());
    }

    #[test]
    fn counts_and_durations_are_never_more_than_a_machine_can_have() {
        let environment = Environment::default();
        let from = |in_tree, text| ValueText {
            text,
            base: Path::new("/"),
            environment: &environment,
            in_tree,
        };
        let text = |text| from(false, text);
        assert_eq!(count_or_auto(&text("16384")), Ok(Some(MOST)));
        for bad in ["0", "16385", "18446744073709551615", "99999999999999999999"] {
            let error = count_or_auto(&text(bad)).expect_err("refused");
            assert!(error.reason.contains("from 1 to 16384"), "{}", error.reason);
        }
        for giant in ["16385", "18446744073709551615", "99999999999999999999"] {
            assert_eq!(count_or_auto(&from(true, giant)), Ok(Some(MOST)));
        }
        assert_eq!(number(&from(true, "99999999999")), Ok(u32::MAX));
        assert_eq!(integer(&from(true, "-99999999999")), Ok(i32::MIN));
        for bad in ["0", "-1", "", "many"] {
            assert!(count(&from(true, bad)).is_err(), "{bad}");
        }
        for giant in [
            "18446744073709551615s",
            "18446744073709551615ms",
            "999999999h",
        ] {
            let parsed = positive_duration(&text(giant)).expect("a duration");
            assert!(
                std::time::Instant::now()
                    .checked_add(parsed * 1000)
                    .is_some()
            );
        }
    }

    #[test]
    fn percentages_have_decimals_and_bounds() {
        let environment = Environment::default();
        let of = |text| {
            percent(&ValueText {
                text,
                base: Path::new("/"),
                environment: &environment,
                in_tree: false,
            })
        };
        for (text, number) in [("0", 0.0), ("2", 2.0), ("0.5", 0.5), ("100%", 100.0)] {
            assert_eq!(of(text), Ok(number));
        }
        for bad in ["", "%", "-1", "100.01", "1e1", "NaN", "inf", "2,5", "two"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_is_written_as_bazel_has_it_or_as_a_size() {
        let of = |text| memory_size(text, Some(16 << 30));
        assert_eq!(of("2048"), Ok(2 << 30));
        assert_eq!(of("8G"), Ok(8 << 30));
        assert_eq!(of("HOST_RAM"), Ok(16 << 30));
        assert_eq!(of("HOST_RAM*.5"), Ok(8 << 30));
        assert_eq!(of("HOST_RAM-1024"), Ok(15 << 30));
        for bad in ["", "0", "HOST_RAM*", "HOST_RAM+1", "HOST_RAM*-1", "much"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
