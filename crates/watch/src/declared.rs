//! Bounds that are declared where they hold: beside the cache that has them.

use std::sync::{Mutex, PoisonError};

use plimsoll_verdict::judge::Bound;

/// The most bounds of a program. Further ones are not taken, and [`declare`] says so.
pub const DECLARED_MAX: usize = 256;

/// Of all watchers of the process: a site is what it is for each of them. Entries are never removed.
static DECLARED: Mutex<Vec<Bound>> = Mutex::new(Vec::new());

/// Declares a bound; use [`bounded!`](crate::bounded), which knows the function that it stands in. Declared again it is
/// replaced. `false` if there are [`DECLARED_MAX`] others.
pub fn declare(bound: Bound) -> bool {
    let mut declared = DECLARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = declared.iter_mut().find(|known| known.function == bound.function) {
        *known = bound;
        return true;
    }
    if declared.len() < DECLARED_MAX {
        declared.push(bound);
        return true;
    }
    false
}

pub(crate) fn declared() -> Vec<Bound> {
    DECLARED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Says of the function that it stands in that what it allocates is bounded, so that the verdict does not take a cache
/// that is still filling for a leak. Give `bytes_max` (a [`Bytes`](plimsoll_core::Bytes)), `lifetime_max` (a
/// [`Duration`](std::time::Duration)), or both. Costs a lock the first time and nothing after that.
///
/// ```
/// use plimsoll_core::Bytes;
///
/// fn remember(cache: &mut Vec<Vec<u8>>, entry: &[u8]) {
///     plimsoll_watch::bounded!(bytes_max = Bytes::mib(64));
///     cache.push(entry.to_vec());
/// }
/// # remember(&mut Vec::new(), b"x");
/// ```
#[macro_export]
macro_rules! bounded {
    ($($field:ident = $value:expr),+ $(,)?) => {{
        static DECLARED: ::std::sync::Once = ::std::sync::Once::new();
        DECLARED.call_once(|| {
            fn here() {}
            let name = ::std::any::type_name_of_val(&here);
            let function = $crate::function_around(name).to_owned();
            let mut bound = $crate::Bound { function, ..::std::default::Default::default() };
            $(bound.$field = ::std::option::Option::Some($value);)+
            let _ = $crate::declare(bound);
        });
    }};
}

/// The function around one called `here`, closures folded into theirs.
#[doc(hidden)]
pub fn function_around(here: &str) -> &str {
    let around = here.strip_suffix("::here").unwrap_or(here);
    match around.find("::{{closure}}") {
        Some(at) => &around[..at],
        None => around,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::Bytes;
    use std::time::Duration;

    fn put() {
        crate::bounded!(bytes_max = Bytes::mib(1), lifetime_max = Duration::from_secs(60));
    }

    #[test]
    fn a_bound_knows_the_function_that_it_stands_in() {
        put();
        put();
        let here: Vec<Bound> =
            declared().into_iter().filter(|bound| bound.function.ends_with("declared::tests::put")).collect();
        assert_eq!(here.len(), 1, "once, however often it is passed");
        assert_eq!(here[0].bytes_max, Some(Bytes::mib(1)));
        assert_eq!(here[0].lifetime_max, Some(Duration::from_secs(60)));
    }
}
