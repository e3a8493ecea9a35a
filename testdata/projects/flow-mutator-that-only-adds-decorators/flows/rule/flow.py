"""A StepMutator whose code says what it adds; a configuration of a base class in another module."""
from metaflow import step
from obproject import ProjectFlow
from tables import TableFlow, tables


class RuleFlow(TableFlow, ProjectFlow):
    @tables(name="sales")
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
