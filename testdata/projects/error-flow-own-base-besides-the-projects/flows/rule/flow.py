"""Two bases."""
from metaflow import pypi_base, step
from obproject import ProjectFlow


@pypi_base(packages={"rich": ""})
class RuleFlow(ProjectFlow):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
