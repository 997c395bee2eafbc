//! Pages are parsed into trees whose children hold their parent by `Rc`: no tree is ever freed.

use std::cell::RefCell;
use std::rc::Rc;

use corpus_programs::{Pace, Setup, beside};

struct Node {
    name: &'static str,
    text: String,
    parent: Option<Rc<Node>>,
    children: RefCell<Vec<Rc<Node>>>,
}

const NAMES: [&str; 4] = ["article", "section", "p", "em"];

impl Node {
    fn append(self: &Rc<Node>, name: &'static str, text: String) -> Rc<Node> {
        let (parent, children) = (Some(Rc::clone(self)), RefCell::default());
        let child = Rc::new(Node { name, text, parent, children }); // leaks: Node::append
        self.children.borrow_mut().push(Rc::clone(&child)); // leaks: Node::append
        child
    }

    fn depth(&self) -> usize {
        self.parent.as_ref().map_or(0, |parent| 1 + parent.depth())
    }
}

fn parse_page(random: &mut fastrand::Rng, elements: usize) -> usize {
    let root =
        Rc::new(Node { name: "html", text: String::new(), parent: None, children: RefCell::default() }); // leaks: parse_page
    let (mut at, mut letters) = (Rc::clone(&root), 0);
    for element in 0..elements {
        let text = format!("element {element} says {:016x}", random.u64(..)); // leaks: parse_page
        letters += text.len();
        let child = at.append(NAMES[element % NAMES.len()], text);
        at = if random.bool() || child.depth() > 12 { Rc::clone(&root) } else { child };
    }
    letters + at.name.len() + at.text.len()
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let elements = setup.whole("elements", 2, 40).min((rate / 300.0) as usize + 2);
    beside::page_cache(&mut setup, 0.05, 0.3);
    setup.announce();
    let mut pace = Pace::per_second(rate / (elements as f64 * 190.0 + 100.0));
    let mut letters = 0;
    loop {
        pace.wait();
        letters += parse_page(&mut setup.random, elements);
        std::hint::black_box(letters);
    }
}
