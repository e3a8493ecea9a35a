"""Conda for a step of a project with PyPI packages."""
from metaflow import conda, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @conda(packages={"numpy": "1.26.4"})
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
