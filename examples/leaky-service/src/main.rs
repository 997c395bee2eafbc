//! A small service with four leaks that were planted.
fn main() {}
