"""Functions that only make values of others: of this file, beside it, and in a package of the project."""
import helpers
from helpers import environment
from metaflow import pypi, pypi_base, step
from obproject import ProjectFlow
from shared.versions import packages, pinned

NEEDED = ["boto3", "requests-cache"]


def without(dropped, kept):
    return {name: version for name, version in kept.items() if name != dropped}


@pypi_base(python="3.11", packages=packages("jax[cpu]", *NEEDED, latest=["boto3"]))
class RuleFlow(ProjectFlow):
    @pypi(packages=pinned("pandas", "scikit-learn", "unheard-of"))
    @step
    def start(self):
        self.next(self.unpacked)

    @pypi(**environment(gpu=True, tqdm="4.66.4"))
    @step
    def unpacked(self):
        self.next(self.other)

    @pypi(**environment(tqdm="4.66.4"))
    @step
    def other(self):
        self.next(self.lines)

    @pypi(packages=without("rich", helpers.parsed()) | helpers.parsed(["idna>=3"]))
    @step
    def lines(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
