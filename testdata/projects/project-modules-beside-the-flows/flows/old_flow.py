"""Not in a folder of its own."""
