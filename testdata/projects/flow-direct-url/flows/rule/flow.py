"""A URL as the version."""
from metaflow import pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @pypi(packages={"tinylib": "@https://files.example/tinylib-1.0-py3-none-any.whl"})
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
