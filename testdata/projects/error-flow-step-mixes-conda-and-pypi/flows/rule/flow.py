"""Both on one step."""
from metaflow import conda, pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @conda(packages={"numpy": "1.26.4"})
    @pypi(packages={"rich": ""})
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
