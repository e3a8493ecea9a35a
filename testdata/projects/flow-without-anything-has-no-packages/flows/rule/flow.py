"""No decorator, no pyproject.toml."""
from metaflow import step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
