"""The branch's environment names another file for a configuration."""
from metaflow import Config, pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    config = Config("model", default="config.json")

    @pypi(packages=config.packages)
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
