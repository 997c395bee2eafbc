//! A profile file from a stranger: a profile that is written so that it reads the same, or an error in one line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_verdict::{DiffOptions, Profile, ReadLimits, diff, json};

fuzz_target!(|bytes: &[u8]| {
    match json::read(bytes, &ReadLimits::default()) {
        Ok(profile) => {
            let mut file = Vec::new();
            json::write(&profile, &mut file).expect("memory takes what is written");
            assert_eq!(json::read(&file, &ReadLimits::default()).as_ref(), Ok(&profile));
            let nothing = Profile::from_parts(Default::default()).expect("nothing fits together");
            let all = diff(&nothing, &profile, &DiffOptions::default());
            assert_eq!(all.after.live, profile.live());
            all.write_text(10, std::io::sink()).expect("it takes all");
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.len() < 1000 && !said.contains('\n'), "{said:?}");
        }
    }
});
