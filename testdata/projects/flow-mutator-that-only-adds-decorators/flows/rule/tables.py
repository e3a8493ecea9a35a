from metaflow import Config, StepMutator, user_step_decorator
from obproject import ProjectFlow

PACKAGES = {"duckdb": "1.3.2"}


@user_step_decorator
def load(step_name, flow, inputs=None, attributes=None):
    yield


class tables(StepMutator):
    def init(self, *args, **kwargs):
        self.name = kwargs["name"]

    def mutate(self, mutable_step):
        """Packages, and what loads the table."""
        mutable_step.add_decorator("pypi", deco_kwargs={"packages": PACKAGES}, duplicates=mutable_step.ERROR)
        mutable_step.add_decorator(load, deco_kwargs={"name": self.name})


class TableFlow(ProjectFlow):
    settings = Config("settings", default="settings.json")
