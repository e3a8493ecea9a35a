"""What several flows have in common. Packages are for each to state: @pypi_base(packages={...})."""
import os

from metaflow import FlowMutator, StepMutator, retry, user_step_decorator
from obproject import ProjectFlow


@user_step_decorator
def logged(step_name, flow, inputs=None, attributes=None):
    """Steps need @pypi(packages={"rich": ""}) for it."""
    print(step_name)
    yield


class pipeline(FlowMutator):
    """Every step is logged; @conda and @pypi stay as they are."""

    def mutate(self, mutable_flow):
        for name, step in mutable_flow.steps:
            step.add_decorator(logged, duplicates=step.IGNORE)
            if name != "end" and os.getenv("ATTEMPTS") != "1":
                step.add_decorator("retry", deco_kwargs={"times": 2})


class unhurried(StepMutator):
    def init(self, *args, **kwargs):
        self.minutes = kwargs.get("minutes", 5)

    def pre_mutate(self, mutable_step):
        mutable_step.remove_decorator("timeout")  # not pypi
        if self.minutes:
            mutable_step.add_decorator("timeout", deco_kwargs={"minutes": self.minutes})


@pipeline
class Pipeline(ProjectFlow):
    pass
