//! The OCI distribution protocol (auth, pull, push, mount) and OCI layouts as destinations.
