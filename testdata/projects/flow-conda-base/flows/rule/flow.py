"""Conda packages for every step."""
from metaflow import conda, conda_base, step
from obproject import ProjectFlow


@conda_base(python="3.11", packages={"numpy": "1.26.4"})
class RuleFlow(ProjectFlow):
    @step
    def start(self):
        self.next(self.middle)

    @conda(packages={"scipy": ">=1.11"})
    @step
    def middle(self):
        self.next(self.end)

    @conda(disabled=True)
    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
