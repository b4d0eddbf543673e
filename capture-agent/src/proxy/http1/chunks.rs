//! Finds where a chunked body ends, and what in it is content, without touching a byte (RFC 9112 section 7.1).
//!
//! Guarantee: strict. What two readers could take for different bodies is [`Malformed`]: a bare LF, a sign, a space or nothing
//! where a length belongs, a length beyond 64 bits, data that does not end where its length says.

use shadow_capture::head::is_token;

/// Most bytes of one chunk's extensions.
const MAX_EXTENSION: u32 = 4 << 10;
/// Most bytes of a body's trailer lines.
const MAX_TRAILERS: u32 = 64 << 10;

/// A body that does not follow its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body does not follow its framing")]
pub(crate) struct Malformed;

/// Where a chunked body is being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    state: State,
    padding: Padding,
}

/// Whether blanks may stand behind a length, as some old servers write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    Refused,
    Taken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the length; how many digits so far, and their value.
    Size {
        digits: u8,
        size: u64,
    },
    /// In the extensions, of which so many bytes have passed.
    Extension {
        size: u64,
        passed: u32,
    },
    /// Behind the CR of the length's line.
    SizeEnd {
        size: u64,
    },
    /// In the content.
    Data {
        left: u64,
    },
    /// Behind the content.
    DataEnd,
    /// Behind the CR that follows the content.
    DataEndLf,
    /// Where a trailer line begins, or the empty line that ends all.
    Line {
        passed: u32,
    },
    /// In the name of a trailer.
    TrailerName {
        passed: u32,
    },
    /// Behind its colon.
    Trailer {
        passed: u32,
    },
    /// Behind the CR of a trailer line.
    TrailerLf {
        passed: u32,
    },
    /// Behind the CR of the empty line.
    LastLf,
    Done,
}

impl Chunks {
    /// Before the first byte of a request's body.
    pub(crate) fn begin() -> Self {
        Self { state: State::Size { digits: 0, size: 0 }, padding: Padding::Refused }
    }

    /// Before the first byte of a response's body: clients are used to blanks behind a length.
    pub(crate) fn begin_response() -> Self {
        Self { padding: Padding::Taken, ..Self::begin() }
    }

    /// Whether the body has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Goes over more of the body; gives how many of the bytes belong to it, and shows its content to `content`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub(crate) fn scan(&mut self, bytes: &[u8], mut content: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            if let State::Data { left } = &mut self.state {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                content(&bytes[at..at + take]);
                at += take;
                *left -= take as u64;
                if *left == 0 {
                    self.state = State::DataEnd;
                }
            } else {
                self.state = match (self.state, bytes[at]) {
                    // Read like an extension without a name.
                    (State::Size { digits: 1.., size }, b' ' | b'\t') if self.padding == Padding::Taken => {
                        State::Extension { size, passed: 0 }
                    }
                    (state, byte) => step(state, byte)?,
                };
                at += 1;
            }
        }
        Ok(at)
    }
}

/// One byte outside the content.
fn step(state: State, byte: u8) -> Result<State, Malformed> {
    Ok(match (state, byte) {
        (State::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
            let digit = (byte as char).to_digit(16).map(u64::from).ok_or(Malformed)?;
            // Sixteen digits are 64 bits; more could only be leading zeros, which nobody needs.
            let digits = (digits < 16).then_some(digits + 1).ok_or(Malformed)?;
            State::Size { digits, size: size << 4 | digit }
        }
        (State::Size { digits: 1.., size }, b'\r') => State::SizeEnd { size },
        (State::Size { digits: 1.., size }, b';') => State::Extension { size, passed: 0 },
        (State::Extension { size, .. }, b'\r') => State::SizeEnd { size },
        (State::Extension { size, passed }, _) if is_text(byte) && passed < MAX_EXTENSION => {
            State::Extension { size, passed: passed + 1 }
        }
        (State::SizeEnd { size: 0 }, b'\n') => State::Line { passed: 0 },
        (State::SizeEnd { size }, b'\n') => State::Data { left: size },
        (State::DataEnd, b'\r') => State::DataEndLf,
        (State::DataEndLf, b'\n') => State::Size { digits: 0, size: 0 },
        (State::Line { .. }, b'\r') => State::LastLf,
        (State::LastLf, b'\n') => State::Done,
        (State::Trailer { passed }, b'\r') => State::TrailerLf { passed },
        (State::TrailerLf { passed }, b'\n') => State::Line { passed },
        (State::TrailerName { passed }, b':') => State::Trailer { passed },
        (State::Line { passed } | State::TrailerName { passed }, _) if is_token(byte) && passed < MAX_TRAILERS => {
            State::TrailerName { passed: passed + 1 }
        }
        (State::Trailer { passed }, _) if is_text(byte) && passed < MAX_TRAILERS => {
            State::Trailer { passed: passed + 1 }
        }
        _ => return Err(Malformed),
    })
}

/// What may stand in a line: no control characters but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content and consumed length of a body that arrives in pieces of `piece` bytes.
    fn scan(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, usize, bool), Malformed> {
        let (mut chunks, mut content, mut used) = (Chunks::begin(), Vec::new(), 0);
        for part in bytes.chunks(piece) {
            let taken = chunks.scan(part, |data| content.extend_from_slice(data))?;
            used += taken;
            if taken < part.len() {
                break;
            }
        }
        Ok((content, used, chunks.is_done()))
    }

    #[test]
    fn bodies_end_where_they_end_however_they_arrive() {
        for (body, content) in [
            (&b"0\r\n\r\n"[..], &b""[..]),
            (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
            (b"0003;a=b;c=\"d\"\r\nabc\r\nA\r\n0123456789\r\n0;last\r\nX-Sum: 7\r\nY:\t1\r\n\r\n", b"abc0123456789"),
            (b"2\r\n\r\n\r\n000\r\n\r\n", b"\r\n"),
        ] {
            for piece in 1..=body.len() {
                let both = [body, b"GET / HTTP/1.1\r\n"].concat();
                assert_eq!(scan(&both, piece), Ok((content.to_vec(), body.len(), true)), "{piece}");
                assert!(!scan(&body[..body.len() - 1], piece).unwrap().2);
            }
        }
    }

    #[test]
    fn blanks_behind_a_length_are_taken_from_servers_only() {
        let mut content = Vec::new();
        let mut chunks = Chunks::begin_response();
        let body = b"3  \r\nabc\r\n0 \r\n\r\n";
        assert_eq!(chunks.scan(body, |data| content.extend_from_slice(data)), Ok(body.len()));
        assert_eq!((content.as_slice(), chunks.is_done()), (&b"abc"[..], true));
        assert_eq!(scan(body, body.len()), Err(Malformed));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_malformed() {
        for body in [
            &b"\r\n"[..],
            b";\r\n",
            b"+3\r\n",
            b"-1\r\n",
            b"0x3\r\nabc",
            b"3 \r\nabc",
            b" 3\r\nabc",
            b"3\nabc",
            b"3;a\nabc",
            b"3\rabc",
            b"1_0\r\n",
            b"10000000000000000\r\n",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n",
            b"0\r\nX: 1\n\r\n",
            b"0\r\nX: \0\r\n\r\n",
            b"0\r\nX\r\n\r\n",
            b"0\r\n: 1\r\n\r\n",
            b"0\r\nX : 1\r\n\r\n",
            b"0\r\nX: 1\r\n folded\r\n\r\n",
            b"0\n\r\n",
        ] {
            for piece in [1, 2, body.len()] {
                assert_eq!(scan(body, piece), Err(Malformed), "{:?}", String::from_utf8_lossy(body));
            }
        }
        let endless = |begin: &str| [begin.as_bytes(), &[b'a'; 70 << 10]].concat();
        assert_eq!(scan(&endless("1;"), 1000), Err(Malformed));
        assert_eq!(scan(&endless("0\r\nX: "), 1000), Err(Malformed));
    }
}
