//! Worlds as data: each folder of `tests/machines` has a machine's files and what must be seen.
