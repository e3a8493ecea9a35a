"""include_pyproject_toml = false."""
from metaflow import pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @step
    def start(self):
        self.next(self.end)

    @pypi(packages={"rich": "13.7.1"})
    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
