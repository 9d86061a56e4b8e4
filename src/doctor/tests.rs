//! Every check on machines made of facts.
