//! Sizes and topic names: whatever is read is printed so that it reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_bounds::hub::TopicName;
use plimsoll_core::Bytes;

fuzz_target!(|text: &str| {
    match text.parse::<Bytes>() {
        // A size that prints with a rounded decimal is not exact; one that prints whole is.
        Ok(size) if !size.to_string().contains('.') => assert_eq!(size.to_string().parse(), Ok(size)),
        Ok(_) => {}
        Err(error) => assert!(error.to_string().len() < 400, "what a stranger wrote is echoed cut"),
    }
    if let Ok(name) = TopicName::parse(text) {
        assert_eq!(name.as_str(), text);
        assert!((1..=200).contains(&text.len()) && !text.contains(char::is_whitespace));
    }
});
