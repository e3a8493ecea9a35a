"""@pypi is for steps."""
from metaflow import pypi, step
from obproject import ProjectFlow


@pypi(packages={"rich": ""})
class RuleFlow(ProjectFlow):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
