//! Labels from `tracing`: the span that a thread is in, by name.

use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Label;
use crate::thread;

/// A layer that labels each thread with the innermost span that it is in: its name, as it is in the source. Fields are
/// left out, since their values are without number.
///
/// A span's label takes the place of one that was set by [`Label::enter`] before, and leaves none behind.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let subscriber = tracing_subscriber::registry().with(plimsoll_heap::label::SpanLabels);
/// # drop(subscriber);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SpanLabels;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLabels {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            // In place of that of another such layer.
            span.extensions_mut().replace(Label::new(attributes.metadata().name()));
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        set(context.span(id).and_then(|span| span.extensions().get::<Label>().copied()));
    }

    fn on_exit(&self, _: &Id, context: Context<'_, S>) {
        set(context.lookup_current().and_then(|span| span.extensions().get::<Label>().copied()));
    }
}

fn set(label: Option<Label>) {
    thread::with(|thread| thread.label.set(label.unwrap_or(Label::NONE).0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn a_thread_is_labelled_with_its_innermost_span() {
        let subscriber = tracing_subscriber::registry().with(SpanLabels);
        tracing::subscriber::with_default(subscriber, || {
            let outer = tracing::info_span!("outer", user = 7).entered();
            assert_eq!(&*Label::current().name(), "outer");
            tracing::info_span!("inner").in_scope(|| assert_eq!(&*Label::current().name(), "inner"));
            assert_eq!(&*Label::current().name(), "outer");
            drop(outer);
            assert_eq!(Label::current(), Label::NONE);
        });
    }
}
