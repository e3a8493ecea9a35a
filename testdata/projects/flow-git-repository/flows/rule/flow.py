"""Packages from git repositories, as a value and as a name, and through the project's pyproject.toml."""
from metaflow import pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @pypi(packages={"tinylib": "@git+https://git.example/tinylib.git@v1", "other@git+https://git.example/other@main": ""})
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
