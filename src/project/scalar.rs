//! Scalars of YAML 1.1, as PyYAML reads them, which is what the platform's client does: `010` is 8, `1:30` is 90, `yes` is
//! true, `1e5` is text.

/// What a scalar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    Bool,
    Null,
    /// A date, or a date with a time.
    Time,
}

/// The type of a scalar without quotes.
pub(super) fn type_of(text: &str) -> Type {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Type::Null,
        _ if truth(text).is_some() => Type::Bool,
        _ if integer(text).is_some() || float(text).is_some() => Type::Number,
        _ if is_time(text) => Type::Time,
        _ => Type::Text,
    }
}

/// Whether a scalar without quotes is true or false, if it is one of them.
pub(super) fn truth(text: &str) -> Option<bool> {
    Some(match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true,
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false,
        _ => return None,
    })
}

/// The text that Python's `str` makes of a scalar without quotes.
pub(super) fn as_python(text: &str) -> String {
    match type_of(text) {
        Type::Text | Type::Time => text.to_owned(),
        Type::Null => "None".to_owned(),
        Type::Bool => if truth(text) == Some(true) { "True" } else { "False" }.to_owned(),
        Type::Number => match integer(text) {
            Some(digits) => digits,
            None => float(text).map_or_else(|| text.to_owned(), float_text),
        },
    }
}

/// The text that Python's `json` makes of a scalar without quotes; `None` of a date, which it refuses.
pub(super) fn as_json(text: &str) -> Option<String> {
    Some(match type_of(text) {
        Type::Text => json_string(text),
        Type::Null => "null".to_owned(),
        Type::Bool => (truth(text) == Some(true)).to_string(),
        Type::Number => match as_python(text).as_str() {
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            "nan" => "NaN".to_owned(),
            number => number.to_owned(),
        },
        Type::Time => return None,
    })
}

/// A string as Python's `json` writes it, in ASCII.
pub(super) fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    out.push('"');
    out
}

fn signed(text: &str) -> (&str, &str) {
    match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { "-" } else { "" }, rest),
        None => ("", text),
    }
}

/// An integer in decimal digits. What does not fit into 128 bits is kept as it is written.
fn integer(text: &str) -> Option<String> {
    let (sign, rest) = signed(text);
    let digits = rest.replace('_', "");
    let of = |digits: &str, radix: u32| match i128::from_str_radix(digits, radix) {
        Ok(number) => number.to_string(),
        Err(_) => digits.to_owned(),
    };
    let all = |text: &str, allowed: &str| !text.is_empty() && text.chars().all(|c| allowed.contains(c));
    let found = if let Some(binary) = rest.strip_prefix("0b").filter(|rest| all(rest, "01_")) {
        of(&binary.replace('_', ""), 2)
    } else if let Some(hex) = rest.strip_prefix("0x").filter(|rest| all(rest, "0123456789abcdefABCDEF_")) {
        of(&hex.replace('_', ""), 16)
    } else if rest == "0" {
        rest.to_owned()
    } else if rest.starts_with('0') && all(rest, "01234567_") {
        of(&digits, 8)
    } else if rest.starts_with(|c: char| ('1'..='9').contains(&c)) && all(rest, "0123456789_") {
        digits
    } else {
        let (first, parts) = rest.split_once(':')?;
        let first = Some(first).filter(|f| f.starts_with(|c: char| ('1'..='9').contains(&c)))?;
        let first = Some(first).filter(|first| all(first, "0123456789_"))?;
        sexagesimal(first, parts)?.to_string()
    };
    // Python has no negative zero among integers.
    Some(if found == "0" { found } else { format!("{sign}{found}") })
}

/// Base 60: `1:30` is 90.
fn sexagesimal(first: &str, parts: &str) -> Option<i128> {
    let mut sum: i128 = first.replace('_', "").parse().ok()?;
    for part in parts.split(':') {
        let is_digits = matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit());
        let part: i128 = part.parse().ok().filter(|part| is_digits && *part < 60)?;
        sum = sum.checked_mul(60)?.checked_add(part)?;
    }
    Some(sum)
}

fn float(text: &str) -> Option<f64> {
    let (sign, rest) = signed(text);
    let factor = if sign == "-" { -1.0 } else { 1.0 };
    match rest {
        ".inf" | ".Inf" | ".INF" => return Some(factor * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if rest == text => return Some(f64::NAN),
        _ => {}
    }
    let is_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '_');
    if let Some((whole, last)) = rest.rsplit_once(':') {
        let (last, fraction) = last.split_once('.').filter(|(_, fraction)| is_digits(fraction))?;
        let (first, parts) = match whole.split_once(':') {
            Some((first, parts)) => (first, format!("{parts}:{last}")),
            None => (whole, last.to_owned()),
        };
        if !first.starts_with(|c: char| c.is_ascii_digit()) || !is_digits(first) {
            return None;
        }
        let fraction: f64 = format!("0.{}", fraction.replace('_', "")).parse().ok()?;
        #[expect(clippy::cast_precision_loss, reason = "a float is what it becomes")]
        return Some(factor * (sexagesimal(first, &parts)? as f64 + fraction));
    }
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    // Only with a sign is an exponent one.
    let exponent = match exponent {
        Some(exponent) => {
            let digits = exponent.strip_prefix(['-', '+'])?;
            let is_whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            is_whole.then(|| format!("e{exponent}"))?
        }
        None => String::new(),
    };
    let fits = if whole.is_empty() {
        sign.is_empty() && rest == text && fraction.starts_with(|c: char| c.is_ascii_digit())
    } else {
        whole.starts_with(|c: char| c.is_ascii_digit())
    };
    if !fits || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let number = format!("0{whole}.{fraction}0{exponent}").replace('_', "");
    number.parse::<f64>().ok().map(|number| factor * number)
}

/// A float as Python writes it.
fn float_text(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    let text = number.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// `2024-01-31`, or such a date with a time behind it.
fn is_time(text: &str) -> bool {
    let digits = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let (date, time) = match text.find(['T', 't', ' ', '\t']) {
        Some(at) => (&text[..at], Some(text[at + 1..].trim_start())),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let is_date = |shortest| digits(year, 4..=4) && digits(month, shortest..=2) && digits(day, shortest..=2);
    let Some(time) = time else { return is_date(2) };
    let clock = time.split(['Z', '+', '-', ' ', '.']).next().unwrap_or(time);
    let parts: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = parts[..] else { return false };
    is_date(1) && digits(hour, 1..=2) && digits(minute, 2..=2) && digits(second, 2..=2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_what_pyyaml_makes_of_them() {
        for (text, expected) in [
            ("010", "8"),
            ("1:30", "90"),
            ("1:30.5", "90.5"),
            ("190:20:30", "685230"),
            ("-1:30", "-90"),
            ("0x1F", "31"),
            ("+0x1F", "31"),
            ("0b11", "3"),
            ("1_000", "1000"),
            ("1__0", "10"),
            ("+1", "1"),
            ("-0", "0"),
            ("0_7", "7"),
            ("0_", "0"),
            (".5", "0.5"),
            ("1.", "1.0"),
            ("1.10", "1.1"),
            ("1_0.5_0", "10.5"),
            ("-0.0", "-0.0"),
            ("1.5e+5", "150000.0"),
            ("10000000000000000.0", "1e+16"),
            ("0.00001", "1e-05"),
            ("-.inf", "-inf"),
            (".nan", "nan"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            assert_eq!((type_of(text), as_python(text).as_str()), (Type::Number, expected), "{text}");
        }
        for text in [
            "1e5",
            "1.5e5",
            "1e16",
            "0o10",
            "08",
            "yES",
            "y",
            "n",
            "nULL",
            "_1",
            "0x",
            "0b",
            "1:60",
            "0:30",
            "00:30",
            "01:30",
            "+.5",
            "-.5",
            "+.nan",
            "3.13.5",
            "2024-1-1",
            "2024-01",
            "10:00:00:x",
            "-",
            "+",
            ".",
            "1.e5",
            ":",
            "1:",
        ] {
            assert_eq!(type_of(text), Type::Text, "{text}");
        }
        for (text, expected) in [("yes", "True"), ("Off", "False"), ("~", "None"), ("", "None")] {
            assert_eq!(as_python(text), expected, "{text}");
        }
        for text in ["2024-01-01", "2024-1-1 10:00:00", "2024-01-01T10:00:00Z", "2024-01-01 1:00:00.5 +02:00"]
        {
            assert_eq!(type_of(text), Type::Time, "{text}");
        }
    }
}
