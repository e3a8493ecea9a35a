"""A configuration unpacked into the decorator."""
from metaflow import Config, pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    config = Config("config", default="config.json")

    @pypi(**config.environment)
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
