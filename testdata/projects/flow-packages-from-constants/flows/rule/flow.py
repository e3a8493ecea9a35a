"""A dictionary with a name."""
from metaflow import pypi, step
from obproject import ProjectFlow

PYTHON = "3.12"
COMMON = {"numpy": "2.0.1", "attrs": ">=23"}


class RuleFlow(ProjectFlow):
    @pypi(packages=COMMON)
    @step
    def start(self):
        self.next(self.middle)

    @pypi(python=PYTHON, packages={**COMMON, "rich": ""})
    @step
    def middle(self):
        self.next(self.other)

    @pypi(packages=COMMON | {"numpy": "1.26.4"})
    @step
    def other(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
