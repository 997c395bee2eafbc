//! Real work, many small strings and maps: a document is parsed and written again.

use std::fmt::Write;
use std::hint::black_box;

use serde_json::Value;

use super::Workload;
use crate::draw::Draw;

/// Objects in the document: about half a megabyte of text.
const OBJECTS: u64 = 3000;

/// A block that stays in the heap itself: too small for a mapping of its own, too large for a sampler's slots.
const KEPT_BYTES: usize = 64 << 10;

/// Parses the document into a tree and writes the tree out.
pub(super) struct Json {
    text: String,
    /// Lies behind a tree, as something always does in a service. With nothing there, whether glibc gives the
    /// whole tree back to the kernel and faults it in again in every iteration hangs on a single block.
    _kept: Vec<u8>,
}

impl Json {
    pub(super) fn new() -> Self {
        let text = document();
        let tree: Value = serde_json::from_str(&text).expect("it is JSON, see below");
        let kept = vec![1; KEPT_BYTES];
        drop(black_box(tree));
        Self { text, _kept: kept }
    }
}

impl Workload for Json {
    fn run(&mut self, iterations: u64) -> u64 {
        let mut sum = 0_u64;
        for _ in 0..iterations {
            let tree: Value = serde_json::from_str(black_box(&self.text)).expect("it is JSON, see below");
            let written = serde_json::to_string(black_box(&tree)).expect("every key is a string");
            sum = sum.wrapping_add(written.len() as u64);
        }
        sum
    }
}

fn document() -> String {
    let mut draw = Draw::new(0x6a73_6f6e);
    let mut text = String::from("[");
    for id in 0..OBJECTS {
        let (comma, random) = (if id == 0 { "" } else { "," }, draw.next());
        let name = draw.between(8, 40);
        write!(
            text,
            r#"{comma}{{"id":{id},"name":"{random:0name$x}","active":{active},"score":{score}.25,
            "tags":["alpha-{a}","beta-{b}","gamma"],
            "address":{{"street":"{random:x} Street","city":"Town {a}","zip":"{b:05}"}},
            "history":[{{"at":{a},"what":"created"}},{{"at":{b},"what":"changed \"{a}\""}}]}}"#,
            active = random & 1 == 0,
            score = draw.below(1000),
            a = draw.below(100_000),
            b = draw.below(100_000),
        )
        .expect("a String takes all that is written");
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_parsed() {
        let tree: Value = serde_json::from_str(&document()).expect("it is JSON");
        assert_eq!(tree.as_array().map(Vec::len), Some(OBJECTS as usize));
        assert_eq!(Json::new().run(2), 2 * Json::new().run(1));
    }
}
