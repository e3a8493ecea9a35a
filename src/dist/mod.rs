//! What is inside a distribution: zip reading, RECORD, entry points, `.data`, the install plan.
