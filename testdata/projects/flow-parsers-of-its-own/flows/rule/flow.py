"""Parsers that are functions of the project, and one that depends on what is installed."""
from metaflow import Config, config_expr, pypi, step
from obproject import ProjectFlow
from sensor import Sensor


class RuleFlow(Sensor, ProjectFlow):
    test = Config("test", default_value='{"environments": {"test": {"rich": "13.7.1"}}}', parser="sensor.of_json")

    @pypi(packages=config_expr("sensor.deps"))
    @step
    def start(self):
        self.next(self.train_step)

    @pypi(packages=config_expr("train.packages"))
    @step
    def train_step(self):
        self.next(self.test_step)

    @pypi(packages=test.test)
    @step
    def test_step(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
