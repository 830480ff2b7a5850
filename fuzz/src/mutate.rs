//! Changed inputs, from a seed.

/// Pieces that parsers trip over.
const PIECES: [&[u8]; 32] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":",
    b",",
    b":",
    b"null",
    b"true",
    b"-0",
    b"1e999",
    b"99999999999999999999",
    b"-9223372036854775808",
    b"0.1",
    b"\\u0000",
    b"\\ud800",
    b"\xff\xfe",
    b"\xe2\x80\xae",
    b"%00",
    b"%2F..%2F",
    b"../",
    b"*",
    b"[[gate]]\n",
    b"\"\"\"",
    b"changeRequestId",
    b"2026-11-23T12:00:00Z",
];

/// Makes inputs out of others, always the same from one seed.
#[derive(Debug)]
pub struct Mutator(u64);

impl Mutator {
    /// From this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below this one (SplitMix64).
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) >> 1).unwrap_or_default() % end.max(1)
    }

    /// One of these inputs, changed in a few places, `most` bytes long at most.
    pub fn change(&mut self, inputs: &[Vec<u8>], most: usize) -> Vec<u8> {
        let mut bytes = self.one_of(inputs);
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(40)).min(bytes.len());
            match self.below(8) {
                0 => bytes.truncate(at),
                1 => _ = bytes.drain(at..end),
                2 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                3 if at < bytes.len() => bytes[at] = self.below(256) as u8,
                4 | 5 => {
                    let piece = PIECES[self.below(PIECES.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                6 => {
                    let copied = bytes[at..end].repeat(1 + self.below(8));
                    bytes.splice(at..at, copied);
                }
                _ => {
                    let other = self.one_of(inputs);
                    let from = self.below(other.len() + 1);
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
            }
        }
        bytes.truncate(most);
        bytes
    }

    fn one_of(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        inputs.get(self.below(inputs.len())).cloned().unwrap_or_default()
    }
}
