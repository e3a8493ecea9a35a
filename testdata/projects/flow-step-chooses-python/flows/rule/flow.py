"""Python: the step's if set, else the base's."""
from metaflow import pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @pypi(python="3.12")
    @step
    def start(self):
        self.next(self.middle)

    @pypi(packages={"duckdb": ""})
    @step
    def middle(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
