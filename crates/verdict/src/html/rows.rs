//! The table of a profile: a row for each site, and below it its stack.

use std::io::{self, Write};

use plimsoll_core::Bytes;

use super::page::{self, Column, text};
use super::{HtmlOptions, ages};
use crate::collapsed::UNKNOWN;
use crate::metric::Metric;
use crate::profile::{Frame, Frames, Profile};
use crate::sites::{Site, sites, total};
use crate::text::table::{error_text, percent, place};

/// What the columns hold. Some profiles lack some.
struct Table<'a> {
    profile: &'a Profile,
    frames: &'a Frames<'a>,
    metric: Metric,
    /// Of all sites.
    all: u64,
    has_live: bool,
    has_allocated: bool,
    has_objects: bool,
    has_ages: bool,
    stack_frames_max: usize,
}

pub(super) fn write(profile: &Profile, options: &HtmlOptions, out: &mut impl Write) -> io::Result<()> {
    let metric = options.metric;
    let frames = profile.frames();
    let sites = sites(profile, &frames, metric);
    let (shown, rest) = sites.split_at(options.rows_max.min(sites.len()));
    let table = Table {
        profile,
        frames: &frames,
        metric,
        all: total(&sites, metric),
        has_live: profile.measures(Metric::LiveBytes),
        has_allocated: profile.measures(Metric::AllocatedBytes),
        has_objects: profile.measures(Metric::LiveObjects) || profile.measures(Metric::AllocatedObjects),
        has_ages: profile.header().epoch_ms > 0,
        stack_frames_max: options.stack_frames_max,
    };
    let (columns, sorted_by) = table.columns();
    writeln!(out, "<section aria-labelledby=sites-h><h2 id=sites-h>Lines that hold {}</h2>", metric.title())?;
    page::table_tools(shown.len(), sites.len(), "lines", out)?;
    writeln!(
        out,
        "<div class=scroll role=region aria-labelledby=sites-h tabindex=0><table><caption class=sr>One row for each \
         line of the program and the function through which it allocates; a row's button shows its stack\
         </caption>"
    )?;
    page::table_head(&columns, sorted_by, out)?;
    for (number, site) in shown.iter().enumerate() {
        table.row(number, site, columns.len(), out)?;
    }
    writeln!(out, "</table></div>")?;
    if !rest.is_empty() {
        writeln!(
            out,
            "<p class=note>{} more lines are left out, with {} {} ({}) together.</p>",
            rest.len(),
            metric.show(total(rest, metric)),
            metric.noun(),
            percent(total(rest, metric), table.all)
        )?;
    }
    writeln!(out, "</section>")
}

impl Table<'_> {
    /// The columns, and which of them is that of the metric.
    fn columns(&self) -> (Vec<Column>, usize) {
        let number = |title, hint| Column { title, hint, number: true };
        let mut columns = Vec::new();
        let mut sorted_by = 0;
        let mut push = |there: bool, metric: Option<Metric>, column: Column| {
            if there {
                if metric == Some(self.metric) {
                    sorted_by = columns.len();
                }
                columns.push(column);
            }
        };
        push(self.has_live, Some(Metric::LiveBytes), number("Live", "bytes allocated and not yet freed"));
        push(true, None, number("Share", "of all that was asked for"));
        push(true, None, Column { title: "Line of the program", hint: "with its stack", number: false });
        let objects = if self.metric.is_live() { Metric::LiveObjects } else { Metric::AllocatedObjects };
        push(self.has_objects, Some(objects), number("Objects", "as many as the bytes are in"));
        push(self.has_live, None, number("±", "standard error of the estimate"));
        push(
            self.has_allocated,
            Some(Metric::AllocatedBytes),
            number("Allocated", "bytes since the start, freed or not"),
        );
        push(self.has_allocated && self.has_live, None, number("Freed", "share of the allocated bytes"));
        push(self.has_ages, None, number("Age", "live bytes by age, the youngest at the left"));
        (columns, sorted_by)
    }

    fn row(&self, number: usize, site: &Site, columns: usize, out: &mut impl Write) -> io::Result<()> {
        let amount = site.amount(self.metric);
        write!(out, "<tbody><tr>")?;
        if self.has_live {
            bytes(site.live.bytes, out)?;
        }
        let share = if self.all == 0 { 0.0 } else { site.of(self.metric) as f64 * 100.0 / self.all as f64 };
        write!(
            out,
            "<td class=\"n share\" data-v={share:.4} style=\"--share:{:.4}\">{}</td>",
            share / 100.0,
            percent(site.of(self.metric), self.all)
        )?;
        self.place(number, site, out)?;
        if self.has_objects {
            write!(out, "<td class=n data-v={0}>{0}</td>", amount.objects)?;
        }
        if self.has_live {
            let exact = self.profile.header().interval.as_u64() == 1;
            // The more samples, the smaller; none at all is no error.
            let rank = if exact { 0.0 } else { 100.0 / (site.live_samples as f64).sqrt() };
            let rank = if rank.is_finite() { rank } else { -1.0 };
            write!(out, "<td class=n data-v={rank:.2}>{}</td>", error_text(site.live_samples, exact))?;
        }
        if self.has_allocated {
            bytes(site.allocated.bytes, out)?;
        }
        if self.has_allocated && self.has_live {
            let freed = site.freed.bytes.min(site.allocated.bytes);
            let rank = freed as f64 * 100.0 / site.allocated.bytes.max(1) as f64;
            write!(out, "<td class=n data-v={rank:.2}>{}</td>", percent(freed, site.allocated.bytes))?;
        }
        if self.has_ages {
            ages::cell(&site.generations, self.profile.header().epoch_ms, out)?;
        }
        write!(out, "</tr>\n<tr id=s{number} class=stack hidden><td colspan={columns}>")?;
        self.stack(site, out)?;
        writeln!(out, "</td></tr></tbody>")
    }

    /// The last cell: the button that opens the stack, and where the line is.
    fn place(&self, number: usize, site: &Site, out: &mut impl Write) -> io::Result<()> {
        let own = site.own.map(|own| self.frames.get(own));
        let function = own.map_or(UNKNOWN, |own| &own.function);
        write!(
            out,
            "<td class=where><button type=button class=open aria-expanded=false aria-controls=s{number}>{}</button>",
            page::name(function)
        )?;
        if let Some(own) = own {
            write!(out, "{}", source(own))?;
        }
        if let Some(leaf) = site.leaf.filter(|&leaf| Some(leaf) != site.own) {
            let leaf = self.frames.get(leaf);
            write!(out, "<div class=leaf>in {}{}</div>", page::name(&leaf.function), source(leaf))?;
        }
        write!(out, "</td>")
    }

    fn stack(&self, site: &Site, out: &mut impl Write) -> io::Result<()> {
        let stack = &self.profile.stacks()[site.heaviest];
        let bytes = Bytes::new(self.metric.amount_of(stack).bytes);
        match site.stacks {
            1 => write!(out, "<p>Its only stack, the allocation first:</p>")?,
            many => {
                write!(out, "<p>The heaviest of its {many} stacks, with {bytes}, the allocation first:</p>")?;
            }
        }
        let mixed = self.frames.is_mixed(stack);
        write!(out, "<ol>")?;
        let mut left_out = 0;
        for (at, number) in self.frames.numbers(stack).enumerate() {
            if at >= self.stack_frames_max {
                left_out += 1;
                continue;
            }
            let frame = self.frames.get(number);
            let own = if Some(number) == site.own { " aria-current=true" } else { "" };
            let class = self.frames.owner_in(number, mixed).name();
            write!(out, "<li class={class}{own}>{}{}", page::name(&frame.function), source(frame))?;
        }
        write!(out, "</ol>")?;
        if left_out > 0 {
            write!(out, "<p>{left_out} more callers are left out.</p>")?;
        }
        if stack.truncated {
            write!(out, "<p>It was deeper than could be followed.</p>")?;
        }
        Ok(())
    }
}

fn bytes(count: u64, out: &mut impl Write) -> io::Result<()> {
    write!(out, "<td class=n data-v={count}>{}</td>", Bytes::new(count))
}

/// Where a frame is, after its name.
fn source(frame: &Frame<'_>) -> String {
    let place = place(frame.file, frame.line);
    if place.is_empty() { place } else { format!(" <span class=file>{}</span>", text(place.trim_start())) }
}

#[cfg(test)]
mod tests {
    use crate::library::Owner;

    #[test]
    fn every_owner_has_its_style() {
        let style = include_str!("page.css");
        for owner in [Owner::Allocator, Owner::Standard, Owner::Dependency, Owner::Program] {
            assert!(style.contains(&format!("li.{}", owner.name())), "{owner:?}");
        }
    }
}
