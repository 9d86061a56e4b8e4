//! Every check on machines made of facts, the order of findings, and facts that nobody would make.

mod cases;
mod hostile;
mod list;
mod order;
mod room;
