"""The platform's tool looks for the names of configurations in flow.py alone: one of a base class keeps its default."""
from base import Base
from metaflow import config_expr, pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow, Base):
    @pypi(packages=config_expr("model.packages"))
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
