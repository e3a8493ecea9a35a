"""Functions of the project that apply decorators, with and without arguments."""
from metaflow import step
from obproject import ProjectFlow
from platform_steps import sized, training


class RuleFlow(ProjectFlow):
    @sized()
    @step
    def start(self):
        self.next(self.train)

    @training
    @step
    def train(self):
        self.next(self.end)

    @sized(version="2.3.0")
    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
