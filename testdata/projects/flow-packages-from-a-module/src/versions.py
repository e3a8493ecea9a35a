"""Versions that flows share."""
COMMON = {"numpy": "2.0.1"}
