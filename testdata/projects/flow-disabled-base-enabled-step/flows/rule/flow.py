"""A disabled base; a step that says otherwise has both."""
from metaflow import pypi, pypi_base, step
from obproject import ProjectFlow


@pypi_base(disabled=True, packages={"rich": "13.7.1"})
class RuleFlow(ProjectFlow):
    @step
    def start(self):
        self.next(self.middle)

    @pypi(disabled=False, packages={"numpy": "2.0.1"})
    @step
    def middle(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
