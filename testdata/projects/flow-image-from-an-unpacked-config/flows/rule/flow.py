"""The base image, among other settings."""
from metaflow import Config, kubernetes, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    config = Config("config", default="config.json")

    @kubernetes(memory=8000, **config.compute)
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
