"""A default that is made of the flow's own place is the file there, for configurations and included files."""
import os
from pathlib import Path

from metaflow import Config, IncludeFile, pypi, step
from obproject import ProjectFlow

HERE = os.path.dirname(os.path.abspath(__file__))


class RuleFlow(ProjectFlow):
    config = Config("config", default=os.path.join(HERE, "config.json"))
    words = IncludeFile("words", default=str(Path(__file__).parent / "words.txt"))

    @pypi(python=config.environment.get("python"), packages=config.environment.get("packages"))
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
