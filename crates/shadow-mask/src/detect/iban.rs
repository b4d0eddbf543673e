//! IBANs (ISO 13616): a registered country, its length, and the check digits by mod 97; printed in fours or not, in any case.

use std::ops::Range;

use super::{free_after, free_before};

/// Registered countries with the length of their IBANs.
const COUNTRIES: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 \
    EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 \
    LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 \
    RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";

/// IBANs in `text`.
pub(crate) fn find(text: &[u8], take: &mut dyn FnMut(Range<usize>)) {
    let mut at = 0;
    while at + 15 <= text.len() {
        let [a, b, c, d] = [text[at], text[at + 1], text[at + 2], text[at + 3]];
        if a.is_ascii_alphabetic()
            && b.is_ascii_alphabetic()
            && (c.is_ascii_digit() && d.is_ascii_digit())
            && free_before(text, at)
            && let Some(end) = iban(&text[at..])
        {
            take(at..at + end);
            at += end;
        } else {
            at += 1;
        }
    }
}

/// How long the IBAN is that `text` begins with.
fn iban(text: &[u8]) -> Option<usize> {
    let country = [text[0].to_ascii_uppercase(), text[1].to_ascii_uppercase()];
    let entry = COUNTRIES.split(' ').find(|entry| entry.as_bytes().starts_with(&country))?;
    let length: usize = entry[2..].parse().ok()?;
    let mut compact = Vec::with_capacity(length);
    let mut end = 0;
    let separator = text.get(4).copied().filter(|b| matches!(b, b' ' | b'-'));
    while compact.len() < length {
        let byte = *text.get(end)?;
        if byte.is_ascii_alphanumeric() {
            compact.push(byte.to_ascii_uppercase());
        } else if Some(byte) != separator || !compact.len().is_multiple_of(4) || text[end - 1] == byte {
            return None;
        }
        end += 1;
    }
    (free_after(text, end) && remainder(&[&compact[4..], &compact[..4]].concat()) == 1).then_some(end)
}

/// The check digits of an account in a country.
pub(crate) fn check_digits(country: &[u8; 2], account: &[u8]) -> u32 {
    98 - remainder(&[account, country, b"00"].concat())
}

/// The number that letters (as 10 to 35) and digits make, modulo 97.
fn remainder(text: &[u8]) -> u32 {
    text.iter().fold(0, |n, byte| match byte {
        b'0'..=b'9' => (n * 10 + u32::from(byte - b'0')) % 97,
        _ => (n * 100 + u32::from(byte - b'A') + 10) % 97,
    })
}
