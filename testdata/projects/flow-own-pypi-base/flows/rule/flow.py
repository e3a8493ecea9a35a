"""The flow's own base, and a step over it."""
from metaflow import pypi, pypi_base, step
from obproject import ProjectFlow


@pypi_base(python="3.11", packages={"numpy": "1.26.4", "rich": ""})
class RuleFlow(ProjectFlow):
    @step
    def start(self):
        self.next(self.middle)

    @pypi(packages={"numpy": "2.0.1"})
    @step
    def middle(self):
        self.next(self.off)

    @pypi(disabled=True)
    @step
    def off(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
