//! What goes wrong outside the store, or in a user's closure, is told and does no lasting harm.

mod closures;
