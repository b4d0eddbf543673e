//! Whether a text is metrics, in either of Prometheus' text formats: as much of them as tells metrics from other text. Pure.

/// The text, if each of its lines is a comment or a sample.
///
/// # Errors
/// The number of the first line that is neither, counted from 1.
pub(super) fn read(body: Vec<u8>) -> Result<String, usize> {
    let text = String::from_utf8(body).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        1 + valid.iter().filter(|byte| **byte == b'\n').count()
    })?;
    let odd = text.lines().position(|line| {
        let line = line.trim_start();
        !(line.is_empty() || line.starts_with('#') || is_sample(line))
    });
    match odd {
        Some(line) => Err(line + 1),
        None => Ok(text),
    }
}

/// A name, labels in braces, or both, and a number. What may follow it is not looked at.
fn is_sample(line: &str) -> bool {
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | ':')).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let value = match rest.trim_start().strip_prefix('{') {
        Some(labels) => after_labels(labels),
        None => (!name.is_empty()).then_some(rest),
    };
    value.and_then(|value| value.split_ascii_whitespace().next()).is_some_and(|value| value.parse::<f64>().is_ok())
}

/// What follows the closing brace; braces in quoted values do not close.
fn after_labels(labels: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in labels.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return labels.get(at + 1..),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_metrics() {
        for text in [
            "",
            "\n# HELP up Ünicode.\n# TYPE up gauge\nup 1\n",
            "a:b_total{x=\"}\\\"{\",y=\"é\"} 1.5e-3 1712345678901\n",
            "  a { x = \"1\" } NaN\r\na -Inf\r\na +Inf\r\n",
            "{\"dotted.name\", x=\"1\"} 7\n",
            "a_bucket{le=\"0.5\"} 3 # {trace_id=\"x\"} 0.4\n# EOF\n",
        ] {
            assert_eq!(read(text.as_bytes().to_vec()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn other_text_is_told_by_its_first_odd_line() {
        for (text, line) in [
            (&b"<html>\n"[..], 1),
            (b"{\"a\": 1}\n", 1),
            (b"up 1\nhello world\n", 2),
            (b"up\n", 1),
            (b"up{x=\"1\"\n", 1),
            (b"up{x=\"} 1\n", 1),
            (b"{} one\n", 1),
            (b" 1\n1\n", 1),
            (b"up 1\nup 2\n\xff\xfe\n", 3),
        ] {
            assert_eq!(read(text.to_vec()), Err(line), "{}", String::from_utf8_lossy(text));
        }
    }
}
