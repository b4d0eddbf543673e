//! SplitMix64: the same corpus in every run.

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    pub(crate) fn text(&mut self, alphabet: &str, length: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| *self.pick(&letters)).collect()
    }

    pub(crate) fn hex(&mut self, length: usize) -> String {
        self.text("0123456789abcdef", length)
    }

    pub(crate) fn uuid(&mut self) -> String {
        let parts = [8, 4, 3, 3, 12].map(|length| self.hex(length));
        format!("{}-{}-4{}-a{}-{}", parts[0], parts[1], parts[2], parts[3], parts[4])
    }

    /// A number without an exponent: whole, with a fraction, or beyond what a double holds.
    pub(crate) fn number(&mut self) -> String {
        let sign = if self.once_in(8) { "-" } else { "" };
        let first = self.text("123456789", 1);
        match self.below(4) {
            0 => format!("{sign}{first}"),
            1 => format!("{sign}{first}{}", self.text("0123456789", 4)),
            2 => format!("{sign}{first}{}.{}{}", self.text("0123456789", 2), self.text("0123456789", 5), first),
            _ => format!("{sign}90071992547{}{first}", self.text("0123456789", 10)),
        }
    }

    pub(crate) fn word(&mut self) -> String {
        const WORDS: &[&str] = &[
            "amber",
            "basket",
            "Café crème",
            "delivered",
            "Été",
            "far away",
            "GmbH",
            "harbour",
            "in stock",
            "jasmine",
            "Köln",
            "a \"quoted\" word",
            "back\\slash",
            "line\nbreak",
            "naïve",
            "日本語",
            "emoji 🦀",
            "x",
            "Zürich",
            "tab\there",
            "a/b",
            "",
            "5",
            "true",
            "null",
            "2024-02-29",
        ];
        self.pick(WORDS).to_string()
    }
}
