"""The client sends no Python for the second step, although both steps have the same environment."""
from metaflow import Config, pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    environment = Config("environment", default="environment.json")

    @pypi(python="3.11", packages={"pandas": "2.2.2"})
    @step
    def start(self):
        self.next(self.end)

    @pypi(**environment)
    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
