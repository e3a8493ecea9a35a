"""Conda packages, with a channel in the name."""
from metaflow import conda, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @conda(packages={"rapidsai::cudf": "25.08.*", "zlib": "=1.2"})
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
