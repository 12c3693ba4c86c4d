//! tokenwatch
fn main() {}
