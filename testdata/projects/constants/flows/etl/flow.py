"""Requirements that modules of the project hold."""
import deps
import shared.versions
from deps import EXTRA as MORE
from metaflow import conda, pypi, step
from obproject import ProjectFlow
from shared import COMMON

LOCAL = COMMON | {"pandas": "2.2.3"}


class EtlFlow(ProjectFlow):
    @pypi(python=deps.PYTHON, packages=COMMON)
    @step
    def start(self):
        self.next(self.load)

    @pypi(packages=MORE.copy())
    @step
    def load(self):
        self.next(self.shape)

    @pypi(packages={**LOCAL, "numpy": ">=1.26,<2"})
    @step
    def shape(self):
        self.next(self.check)

    @pypi(packages=shared.versions.COMMON, python=deps.PYTHON)
    @step
    def check(self):
        self.next(self.end)

    @conda(disabled=True)
    @step
    def end(self):
        pass


if __name__ == "__main__":
    EtlFlow()
