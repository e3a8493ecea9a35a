"""Names imported from modules of the project."""
from metaflow import pypi, step
from obproject import ProjectFlow
import local
from versions import COMMON


class RuleFlow(ProjectFlow):
    @pypi(packages=COMMON)
    @step
    def start(self):
        self.next(self.end)

    @pypi(packages=local.ALL)
    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
