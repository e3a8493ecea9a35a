"""Constants and a base class from beside the projects."""
from company_flows.base import CompanyFlow
from company_flows.packages import COMMON
from metaflow import pypi, step


class TrainFlow(CompanyFlow):
    @pypi(packages=COMMON)
    @step
    def start(self):
        self.next(self.end)


if __name__ == "__main__":
    TrainFlow()
