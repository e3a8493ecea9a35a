from metaflow import kubernetes, pypi, step
from obproject import ProjectFlow

SKLEARN = {"scikit-learn": "1.5.1"}


class Trainer(ProjectFlow):
    @pypi(packages={**SKLEARN, "Pandas": ">=2.2.3"}, python="3.11")
    @step
    def start(self):
        self.next(self.train)

    @kubernetes(image="python:3.12-slim", cpu=4)
    @step
    def train(self):
        self.next(self.check)

    @pypi(python="3.11", packages={"pandas": " >=2.2.3", "scikit_learn": "1.5.1"})
    @step
    def check(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Trainer()
