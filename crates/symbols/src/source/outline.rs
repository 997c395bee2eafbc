//! Which function stands on which line of a Rust source file, and what it is called: `pool::Lease::drop`.
//!
//! A parser would build the tree of the whole file, a hundred times its size, and give up on the first syntax that is
//! newer than itself. All that is asked here is where functions, `impl`s, traits and modules begin and end, and for that
//! words and brackets are enough: one pass, without recursion, that remembers only these. A test holds it to a parser.
//!
//! What a macro is given is looked into where items stand (`cfg_if! { … fn … }`), and is a part of the function around it
//! elsewhere; what `macro_rules!` defines is nowhere.

use std::mem::size_of;

use crate::limits::{FILE_NAME_MAX, SOURCES_BYTES_MAX};

use super::tokens::{Kind, Token, Tokens};

/// How deep brackets may stand in one another. A path has at most twice as many names.
const NESTING_MAX: usize = 256;
/// How many functions, `impl`s, traits and modules one file may have: an outline takes 24 bytes for each, and their
/// names. A file of 5,000 lines has some hundred.
const SCOPES_MAX: usize = 16 << 10;
/// How many bytes their names may have.
const NAMES_MAX: usize = 256 << 10;
/// How many functions on one line are told apart by their names.
const LINE_SCOPES_MAX: usize = 16;
/// No scope.
const NONE: u32 = u32::MAX;

// Any one file has room among those that are kept, with its path.
const _: () =
    assert!((SCOPES_MAX * size_of::<Scope>() + NAMES_MAX + FILE_NAME_MAX) as u64 * 2 < SOURCES_BYTES_MAX);

/// What a scope is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Function,
    AsyncFunction,
    /// A constant or a static, whose initialiser may have closures.
    Value,
    /// A module, a trait, or the `impl` of a type.
    Around,
}

#[derive(Clone, Copy, Debug)]
struct Scope {
    role: Role,
    name_begin: u32,
    name_end: u32,
    /// The scope that it stands in.
    parent: u32,
    /// The line of its first attribute or word, counted from 1.
    begin: u32,
    /// The line of its last bracket.
    end: u32,
}

/// The functions of one file, by line.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// In the order in which they begin.
    scopes: Vec<Scope>,
    /// All names, one behind the other.
    names: String,
}

/// What is looked for on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// The function of this name.
    Function(&'a str),
    /// Whatever a closure or an async block of the line stands in.
    Body,
    /// The async function of the line.
    AsyncFunction,
}

impl Outline {
    /// Reads a file's text; nothing if its brackets do not match, or a limit is reached.
    pub(super) fn of(text: &str) -> Option<Outline> {
        let mut reading = Reading::default();
        let mut tokens = Tokens::new(text);
        for token in tokens.by_ref() {
            reading.take(token)?;
        }
        if tokens.broken() || !reading.open.is_empty() {
            return None;
        }
        let mut outline = reading.outline;
        outline.scopes.shrink_to_fit();
        outline.names.shrink_to_fit();
        Some(outline)
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> u64 {
        (self.scopes.capacity() * size_of::<Scope>() + self.names.capacity()) as u64
    }

    /// The path of what is wanted and stands on this line: the innermost one. Nothing if that is another, or if several
    /// stand beside one another there.
    pub(super) fn find(&self, line: u32, wanted: Wanted<'_>) -> Option<String> {
        let after = self.scopes.partition_point(|scope| scope.begin < line);
        // What began on a line before and is not over: the last one that began, or what that stands in.
        let mut earlier = (after as u32).checked_sub(1).unwrap_or(NONE);
        let mut ends_here = None;
        let mut around = None;
        while let Some(scope) = self.scopes.get(earlier as usize) {
            if scope.role != Role::Around && scope.end >= line {
                if scope.end > line {
                    around = Some(earlier);
                    break;
                }
                ends_here = ends_here.or(Some(earlier));
            }
            earlier = scope.parent;
        }
        let begin_here = (after..self.scopes.len())
            .take(LINE_SCOPES_MAX)
            .take_while(|&index| self.scopes[index].begin == line)
            .filter(|&index| self.scopes[index].role != Role::Around)
            .map(|index| index as u32);
        let here: Vec<u32> = ends_here.into_iter().chain(begin_here).collect();
        let one = match (&here[..], wanted) {
            ([], _) => around?,
            (&[one], _) => one,
            (several, Wanted::Function(name)) => {
                let mut named = several.iter().filter(|&&one| self.name(one) == name);
                let one = *named.next()?;
                if named.next().is_some() {
                    return None;
                }
                one
            }
            _ => return None,
        };
        let role = self.scopes[one as usize].role;
        let fits = match wanted {
            Wanted::Function(name) => role != Role::Value && self.name(one) == name,
            Wanted::Body => true,
            Wanted::AsyncFunction => role == Role::AsyncFunction,
        };
        fits.then(|| self.path(one))
    }

    fn name(&self, scope: u32) -> &str {
        let scope = &self.scopes[scope as usize];
        &self.names[scope.name_begin as usize..scope.name_end as usize]
    }

    fn path(&self, scope: u32) -> String {
        let mut names = Vec::new();
        let mut next = scope;
        while next != NONE {
            names.push(self.name(next));
            next = self.scopes[next as usize].parent;
        }
        names.reverse();
        names.join("::")
    }
}

/// The beginning of a function, an `impl`, a trait or a module, before its `{`.
struct Header<'a> {
    role: Role,
    begin: u32,
    /// In how many brackets it stands.
    depth: usize,
    /// In how many `<` of its own it is.
    angles: usize,
    name: Option<&'a str>,
    /// What only an `impl` has.
    of: Option<Impl<'a>>,
}

/// The head of an `impl`, as far as it was read.
#[derive(Default)]
struct Impl<'a> {
    /// Its own generic parameters: an `impl` for one of these is called by its trait.
    parameters: Vec<&'a str>,
    in_parameters: bool,
    /// The path before `for`.
    of_trait: Option<&'a str>,
    /// The path that is being read has ended.
    ended: bool,
}

/// A scope that is being read.
struct Within {
    scope: u32,
    /// How many brackets are open in it: with fewer, it is over.
    depth: usize,
    /// Of a value: something in it can be a function.
    has_body: bool,
}

/// What opened, and what must close it.
struct Opened {
    close: u8,
    /// It is `#![…]`.
    inner_attribute: bool,
}

#[derive(Default)]
struct Reading<'a> {
    outline: Outline,
    open: Vec<Opened>,
    within: Vec<Within>,
    /// How many of these are functions and values.
    bodies: usize,
    header: Option<Header<'a>>,
    /// With so many brackets, what a macro was given ends.
    macro_depth: Option<usize>,
    /// Where the item that comes next began: its first token after `{`, `}` or `;`.
    item_begin: Option<u32>,
    item_is_async: bool,
    /// The last tokens, the last one first.
    last: [Option<Token<'a>>; 3],
}

impl<'a> Reading<'a> {
    /// Takes the next token; nothing when it makes no sense to go on.
    fn take(&mut self, token: Token<'a>) -> Option<()> {
        self.item_begin.get_or_insert(token.line);
        match token.kind {
            Kind::Open(bracket) => self.open(bracket, token.line)?,
            Kind::Close(bracket) => self.close(bracket, token.line)?,
            Kind::Sign(b';') => self.end_item(token.line),
            _ if self.header.as_ref().is_some_and(|header| header.depth == self.open.len()) => {
                self.take_in_header(token);
            }
            _ if self.header.is_none() && self.macro_depth.is_none() => self.take_in_body(token)?,
            _ => {}
        }
        if (token.kind == Kind::Sign(b'|') || token.is_word("async"))
            && let Some(within) = self.within.last_mut()
        {
            within.has_body = true;
        }
        self.last = [Some(token), self.last[0], self.last[1]];
        Some(())
    }

    /// The token `back` before this one.
    fn was(&self, back: usize, kind: Kind) -> bool {
        self.last[back].is_some_and(|token| token.kind == kind)
    }

    fn was_word(&self, back: usize, words: &[&str]) -> bool {
        self.last[back].is_some_and(|token| words.iter().any(|word| token.is_word(word)))
    }

    fn open(&mut self, bracket: u8, line: u32) -> Option<()> {
        if self.open.len() == NESTING_MAX {
            return None;
        }
        let depth = self.open.len();
        let begins =
            self.header.take_if(|header| bracket == b'{' && header.depth == depth && header.angles == 0);
        let defines = self.was_word(2, &["macro_rules"]) && self.was(1, Kind::Sign(b'!'));
        let called = self.was(0, Kind::Sign(b'!'))
            && self.was(1, Kind::Word)
            && !self.was_word(1, &["if", "while", "return", "match", "in"]);
        if self.header.is_none() && self.macro_depth.is_none() && (defines || called && self.bodies > 0) {
            self.macro_depth = Some(depth);
        }
        let close = match bracket {
            b'(' => b')',
            b'[' => b']',
            _ => b'}',
        };
        let inner_attribute = self.was(0, Kind::Sign(b'!')) && self.was(1, Kind::Sign(b'#'));
        self.open.push(Opened { close, inner_attribute });
        if let Some(header) = begins {
            let name = match header.of {
                Some(of) => header.name.filter(|name| !of.parameters.contains(name)).or(of.of_trait),
                None => header.name,
            };
            if let Some(name) = name {
                self.enter(header.role, name, header.begin, line)?;
            }
        }
        if bracket == b'{' || called {
            self.begin_item();
        }
        Some(())
    }

    fn close(&mut self, bracket: u8, line: u32) -> Option<()> {
        let depth = self.open.len();
        let before = self.last[0].map_or(line, |token| token.line);
        while self.within.last().is_some_and(|within| within.depth == depth) {
            let is_value = self.is_in_value();
            self.leave(if is_value { before } else { line });
        }
        let opened = self.open.pop()?;
        if opened.close != bracket {
            return None;
        }
        self.header.take_if(|header| header.depth == depth);
        self.macro_depth.take_if(|end| *end + 1 == depth);
        if bracket == b'}' || opened.inner_attribute {
            self.begin_item();
        }
        Some(())
    }

    /// A `;`: what has no body ends, and so does a value.
    fn end_item(&mut self, line: u32) {
        let depth = self.open.len();
        self.header.take_if(|header| header.depth == depth && header.angles == 0);
        if self.is_in_value() && self.within.last().is_some_and(|within| within.depth == depth) {
            self.leave(line);
        }
        self.begin_item();
    }

    fn begin_item(&mut self) {
        self.item_begin = None;
        self.item_is_async = false;
    }

    fn is_in_value(&self) -> bool {
        let scope = self.within.last().map(|within| &self.outline.scopes[within.scope as usize]);
        scope.is_some_and(|scope| scope.role == Role::Value)
    }

    fn enter(&mut self, role: Role, name: &str, begin: u32, line: u32) -> Option<()> {
        let Outline { scopes, names } = &mut self.outline;
        let full = scopes.len() == SCOPES_MAX || names.len() + name.len() > NAMES_MAX;
        if full || self.within.len() == 2 * NESTING_MAX {
            return None;
        }
        let parent = self.within.last().map_or(NONE, |within| within.scope);
        let name_begin = names.len() as u32;
        names.push_str(name);
        let name_end = names.len() as u32;
        self.within.push(Within { scope: scopes.len() as u32, depth: self.open.len(), has_body: false });
        scopes.push(Scope { role, name_begin, name_end, parent, begin, end: line });
        self.bodies += usize::from(role != Role::Around);
        Some(())
    }

    fn leave(&mut self, line: u32) {
        let Some(Within { scope, has_body, .. }) = self.within.pop() else { return };
        let Outline { scopes, names } = &mut self.outline;
        let is_last = scope as usize + 1 == scopes.len();
        let Scope { role, end, name_begin, .. } = &mut scopes[scope as usize];
        *end = line;
        self.bodies -= usize::from(*role != Role::Around);
        if *role == Role::Value && !has_body && is_last {
            names.truncate(*name_begin as usize);
            scopes.pop();
        }
    }

    /// A token where items and statements stand.
    fn take_in_body(&mut self, token: Token<'a>) -> Option<()> {
        if token.is_word("async") {
            self.item_is_async = true;
        }
        if token.is_word("impl") && self.is_item(0) {
            self.begin_header(Role::Around, None, token.line);
            return Some(());
        }
        if let Some(name) = token.name() {
            if self.was_word(0, &["fn"]) {
                let role = if self.item_is_async { Role::AsyncFunction } else { Role::Function };
                self.begin_header(role, Some(name), token.line);
            } else if self.was_word(0, &["mod", "trait"]) {
                self.begin_header(Role::Around, Some(name), token.line);
            }
        }
        // `static X:`, `static mut X:`, a macro's `static ref X:`, and `const X:` where it is no parameter.
        if token.kind == Kind::Sign(b':')
            && let Some(name) = self.last[0].and_then(|token| token.name()).filter(|name| *name != "_")
            && (self.was_word(1, &["static"])
                || self.was_word(1, &["mut", "ref"]) && self.was_word(2, &["static"])
                || self.was_word(1, &["const"]) && self.is_item(2))
        {
            let begin = self.item_begin.unwrap_or(token.line);
            self.enter(Role::Value, name, begin, token.line)?;
        }
        Some(())
    }

    /// Whether an item can begin behind the token `back` before this one.
    fn is_item(&self, back: usize) -> bool {
        let Some(before) = self.last[back] else { return true };
        match before.kind {
            Kind::Open(b'{') | Kind::Close(_) | Kind::Sign(b';') | Kind::Arrow => true,
            _ => self.was_word(back, &["pub", "unsafe", "default"]),
        }
    }

    fn begin_header(&mut self, role: Role, name: Option<&'a str>, line: u32) {
        let of = name.is_none().then(Impl::default);
        let begin = self.item_begin.unwrap_or(line);
        self.header = Some(Header { role, begin, depth: self.open.len(), angles: 0, name, of });
    }

    /// A token of a header that stands in no further bracket of it.
    fn take_in_header(&mut self, token: Token<'a>) {
        let is_first = self.was_word(0, &["impl"]);
        let begins_parameter = self.was(0, Kind::Sign(b'<')) || self.was(0, Kind::Sign(b','));
        let begins_parameter = begins_parameter || self.was_word(0, &["const"]);
        let Some(header) = &mut self.header else { return };
        match token.kind {
            Kind::Sign(b'<') => header.angles += 1,
            Kind::Sign(b'>') => header.angles = header.angles.saturating_sub(1),
            _ => {}
        }
        let Some(of) = &mut header.of else { return };
        if token.kind == Kind::Sign(b'<') && is_first {
            of.in_parameters = true;
        }
        of.in_parameters &= header.angles > 0;
        let keyword = if token.kind == Kind::Word { token.text } else { "" };
        match (token.kind, keyword, token.name()) {
            (_, "mut" | "const" | "dyn" | "unsafe" | "extern" | "fn", _) => {}
            (_, _, Some(name)) if of.in_parameters && header.angles == 1 && begins_parameter => {
                of.parameters.push(name);
            }
            _ if header.angles > 0 || of.ended => {}
            (_, "for", _) if of.of_trait.is_none() => of.of_trait = header.name.take(),
            // What a function's type is generic over.
            (_, "for", _) => {}
            (Kind::Sign(b'+' | b':') | Kind::Arrow, ..) | (_, "where", _) => of.ended = true,
            (_, _, Some(name)) => header.name = Some(name),
            _ => {}
        }
    }
}
