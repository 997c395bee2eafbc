//! A recorded series from whoever wrote it: what can be read can be judged and written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_verdict::ReadLimits;
use plimsoll_verdict::judge::{Known, Options, judge, recorded, several, write};

fuzz_target!(|bytes: &[u8]| {
    let Ok(all) = recorded::read(bytes, &ReadLimits::default()) else { return };
    let judged = all
        .into_iter()
        .map(|it| (it.owner, judge(&it.series, it.names.as_ref(), &Known::default(), &Options::default())))
        .collect();
    if let Some(verdict) = several(judged) {
        let mut out = Vec::new();
        write(&verdict, &mut out).expect("memory takes it");
    }
});
