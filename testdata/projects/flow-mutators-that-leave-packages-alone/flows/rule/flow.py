"""Mutators that decide while they run, but not about packages or images."""
from common import Pipeline, logged, unhurried
from metaflow import pypi, pypi_base, step
from obproject import ProjectFlow


@pypi_base(python="3.11", packages={"rich": "13.7.1"})
class RuleFlow(Pipeline, ProjectFlow):
    @unhurried(minutes=7)
    @pypi(packages={"attrs": "23.2.0"})
    @step
    def start(self):
        self.next(self.end)

    @logged
    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
