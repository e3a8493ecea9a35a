"""A step lies over the base: its entry for a package replaces the other."""
from metaflow import pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @pypi(packages={"pandas": "2.1.4", "duckdb": ""})
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
