//! Base images: where they come from and what is inside them.
