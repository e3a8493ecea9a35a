"""One package under two spellings is one package."""
from metaflow import pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @pypi(packages={"scikit-learn": "1.5.1"})
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
