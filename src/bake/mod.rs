//! The pipeline, where all rooms meet: project → environments → locks → plan → layers → images → destination.
