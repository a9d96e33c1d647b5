//! Kubernetes quantities in the form in which the API server stores them (`0.5` as `500m`, `1024Mi` as `1Gi`), so
//! that a wish and what became of it can be compared. Pure.

const BINARY: [(&str, u32); 6] = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
/// Decimal exponents relative to a nano, the smallest unit there is.
const DECIMAL: [(&str, u32); 10] =
    [("E", 27), ("P", 24), ("T", 21), ("G", 18), ("M", 15), ("k", 12), ("", 9), ("m", 6), ("u", 3), ("n", 0)];

/// The stored form; text that is no quantity, or too large to count, is left as it is for the API server to judge.
#[must_use]
pub fn canonical(text: &str) -> String {
    canonical_form(text).unwrap_or_else(|| text.to_owned())
}

/// Whether one amount is more than another; amounts that cannot be counted are not.
#[must_use]
pub fn exceeds(amount: &str, limit: &str) -> bool {
    matches!((parse(amount), parse(limit)), (Some((amount, _)), Some((limit, _))) if amount > limit)
}

fn canonical_form(text: &str) -> Option<String> {
    let (nanos, is_binary) = parse(text)?;
    let stored = if is_binary { binary(nanos) } else { None };
    stored.or_else(|| decimal(nanos))
}

/// The amount in nanos, and whether it was written in binary units.
fn parse(text: &str) -> Option<(i128, bool)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if let Some((_, bits)) = BINARY.iter().find(|(name, _)| *name == unit) {
        return Some((shifted(number, 9)?.checked_mul(1_i128 << bits)?, true));
    }
    let (_, exponent) = DECIMAL.iter().find(|(name, _)| *name == unit)?;
    Some((shifted(number, *exponent)?, false))
}

/// `number` times ten to the `exponent`, when that is whole.
fn shifted(number: &str, exponent: u32) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let shift = exponent.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    format!("{whole}{fraction}").parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(shift)?)
}

/// Less than 1 Ki, or a broken number of bytes, is stored in decimal units.
fn binary(nanos: i128) -> Option<String> {
    const NANOS: i128 = 1_000_000_000;
    let bytes = (nanos % NANOS == 0).then_some(nanos / NANOS).filter(|bytes| *bytes >= 1024)?;
    let (unit, bits) = BINARY.iter().find(|(_, bits)| bytes % (1_i128 << bits) == 0).unwrap_or(&("", 0));
    Some(format!("{}{unit}", bytes >> bits))
}

fn decimal(nanos: i128) -> Option<String> {
    if nanos == 0 {
        return Some("0".to_owned());
    }
    let (unit, exponent) = DECIMAL.iter().find(|(_, exponent)| nanos % 10_i128.pow(*exponent) == 0)?;
    Some(format!("{}{unit}", nanos / 10_i128.pow(*exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_compare_across_units() {
        assert!(exceeds("1Gi", "1000Mi") && exceeds("1", "999m") && exceeds("1Ki", "1k"));
        assert!(!exceeds("1024Mi", "1Gi") && !exceeds("100m", "1") && !exceeds("1e9", "1"));
    }

    /// Left what a person writes, right what a 1.35 API server gave back.
    #[test]
    fn quantities_take_the_stored_form() {
        for (given, stored) in [
            ("128Mi", "128Mi"),
            ("1024Mi", "1Gi"),
            ("0.5Gi", "512Mi"),
            ("1.5Gi", "1536Mi"),
            ("1000Ki", "1000Ki"),
            ("512Ki", "512Ki"),
            ("1000k", "1M"),
            ("500", "500"),
            ("1000", "1k"),
            ("128974848", "128974848"),
            ("0.5", "500m"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1.50", "1500m"),
            ("2.0", "2"),
            ("0", "0"),
            ("0.5Ki", "512"),
            ("1e3", "1e3"),
        ] {
            assert_eq!(canonical(given), stored, "{given}");
        }
    }

    #[test]
    fn a_stored_form_is_its_own_stored_form() {
        for text in ["1Gi", "512Mi", "500m", "1", "1k", "1536Mi", "7"] {
            assert_eq!(canonical(text), text);
        }
    }
}
