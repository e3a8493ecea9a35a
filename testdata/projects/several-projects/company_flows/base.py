from metaflow import pypi, step
from obproject import ProjectFlow

from .packages import COMMON


class CompanyFlow(ProjectFlow):
    @pypi(packages={**COMMON, "pyarrow": "16.1.0"})
    @step
    def end(self):
        pass
