"""@kubernetes(image=…)."""
from metaflow import kubernetes, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @kubernetes(image="registry.example/team/base:1")
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
