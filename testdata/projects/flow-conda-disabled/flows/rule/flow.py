"""The commonest decorator of all."""
from metaflow import conda, pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @conda(disabled=True)
    @step
    def start(self):
        self.next(self.middle)

    @pypi(packages={"rich": "13.7.1"})
    @step
    def middle(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
