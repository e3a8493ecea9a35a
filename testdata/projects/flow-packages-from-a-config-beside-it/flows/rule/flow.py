"""The commonest way to keep requirements out of the code."""
from metaflow import Config, pypi, step
from obproject import ProjectFlow
import os


class RuleFlow(ProjectFlow):
    config = Config("config", default=os.path.join(os.path.dirname(__file__), "config.json"))

    @pypi(
        python=config.environment.get("python"),
        packages=config.environment.get("packages"),
    )
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
