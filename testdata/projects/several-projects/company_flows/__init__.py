"""Beside the projects: all of them may import it."""
METAFLOW_PACKAGE_POLICY = "include"
