"""How a name and a version become a requirement."""
from metaflow import pypi, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    @pypi(
        packages={
            "exact": "1.2",
            "any": "",
            "wildcard": "1.2.*",
            "greater": ">1,<2",
            "compatible": "~=1.4",
            "equal": "==1.0",
            "extras[b,a]": ">=1",
            "upper.Case_name": "1",
        }
    )
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
