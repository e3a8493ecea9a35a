"""A name with extras is an entry of its own for the client."""
from metaflow import pypi, pypi_base, step
from obproject import ProjectFlow


@pypi_base(packages={"uvicorn": "0.29.0"})
class RuleFlow(ProjectFlow):
    @pypi(packages={"uvicorn[standard]": "0.30.1"})
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
