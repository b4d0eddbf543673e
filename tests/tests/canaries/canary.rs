//! Canaries: values that stand in one place of one message each, and whether they may be found without masking.

/// What every canary holds, and nothing else in the world.
const MARK: &str = "qzxaryk";

/// One value.
pub(crate) struct Canary {
    /// Its side, message and position.
    pub(crate) place: String,
    /// As it was sent.
    pub(crate) text: String,
    /// Why it does not leave even where everything is kept; `None` where it must be found then.
    pub(crate) lost: Option<&'static str>,
}

/// All that were sent.
#[derive(Default)]
pub(crate) struct Canaries {
    all: Vec<Canary>,
    message: String,
}

impl Canaries {
    /// The message whose canaries come next.
    pub(crate) fn in_message(&mut self, message: impl Into<String>) -> &mut Self {
        self.message = message.into();
        self
    }

    /// A word.
    pub(crate) fn word(&mut self, position: &str) -> String {
        self.add(position, None)
    }

    /// A word in a position that is never recorded.
    pub(crate) fn lost(&mut self, position: &str, why: &'static str) -> String {
        self.add(position, Some(why))
    }

    /// An address.
    pub(crate) fn mail(&mut self, position: &str) -> String {
        format!("{}@example.org", self.word(position))
    }

    /// A number of thirteen digits.
    pub(crate) fn number(&mut self, position: &str) -> String {
        let text = format!("73918506{:05}", self.all.len());
        self.keep(position, text, None)
    }

    /// Bytes of a compressed body, which are decoded before anything is recorded.
    pub(crate) fn bytes(&mut self, position: &str, bytes: &[u8]) {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        self.keep(position, text, Some("a body is decoded before it is recorded"));
    }

    fn add(&mut self, position: &str, lost: Option<&'static str>) -> String {
        let text = format!("v{:03}{MARK}", self.all.len());
        self.keep(position, text, lost)
    }

    fn keep(&mut self, position: &str, text: String, lost: Option<&'static str>) -> String {
        let place = format!("{}: {position}", self.message);
        self.all.push(Canary { place, text: text.clone(), lost });
        text
    }

    /// All, in order.
    pub(crate) fn all(&self) -> &[Canary] {
        &self.all
    }

    /// The same, for keeps.
    pub(crate) fn into_all(self) -> Vec<Canary> {
        self.all
    }
}
