"""Requirements from the default file of a configuration, in the ways that flows name its values."""
from metaflow import Config, config_expr, pypi, step
from obproject import ProjectFlow


class TrainFlow(ProjectFlow):
    config = Config("config", default="config.json")

    @pypi(python=config.environment.get("python"), packages=config.environment.get("packages"))
    @step
    def start(self):
        self.next(self.train)

    @pypi(packages=config["gpu"]["packages"])
    @step
    def train(self):
        self.next(self.check)

    @pypi(python=config.environment.python, packages=config_expr("config.gpu.packages"))
    @step
    def check(self):
        self.next(self.end)

    @pypi(python=config.environment["python"], packages=config.environment["packages"])
    @step
    def end(self):
        pass


if __name__ == "__main__":
    TrainFlow()
