//! What the user wrote: discovery, obproject.toml, pyproject.toml, config.yml, decorators in flow.py, code files. Pure: no network, no interpreter.
