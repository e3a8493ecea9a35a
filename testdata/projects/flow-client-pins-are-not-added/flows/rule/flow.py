"""What the author says of the client's own packages counts."""
from metaflow import pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @pypi(packages={"requests": "2.32.3", "boto3": ""})
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
