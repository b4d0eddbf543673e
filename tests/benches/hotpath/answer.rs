//! Knowing when an answer is over: a status of 200 and a `Content-Length`, which is all that our origin sends.

/// Longest head that is taken.
const HEAD: usize = 16 * 1024;

/// One answer being read.
#[derive(Default)]
pub struct Answer {
    head: Vec<u8>,
    left: Option<u64>,
}

/// What the bytes so far mean.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// More must come.
    Open,
    /// The answer is complete, and nothing came after it.
    Complete,
    /// Not an answer as the origin gives it.
    Wrong,
}

impl Answer {
    /// Ready for the next one.
    pub fn reset(&mut self) {
        self.head.clear();
        self.left = None;
    }

    /// Takes bytes in.
    pub fn feed(&mut self, bytes: &[u8]) -> Progress {
        let body = match self.left {
            Some(_) => bytes.len() as u64,
            None => {
                self.head.extend_from_slice(bytes);
                let Some(end) = end_of_head(&self.head) else {
                    return if self.head.len() > HEAD { Progress::Wrong } else { Progress::Open };
                };
                let Some(length) = content_length(&self.head[..end]) else { return Progress::Wrong };
                if !self.head.starts_with(b"HTTP/1.1 200") {
                    return Progress::Wrong;
                }
                self.left = Some(length);
                (self.head.len() - end) as u64
            }
        };
        match self.left.unwrap_or(0).checked_sub(body) {
            Some(0) => Progress::Complete,
            Some(left) => {
                self.left = Some(left);
                Progress::Open
            }
            None => Progress::Wrong,
        }
    }
}

/// Where the body begins.
pub fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The length a head declares.
pub fn content_length(head: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"content-length:";
    let line = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}
