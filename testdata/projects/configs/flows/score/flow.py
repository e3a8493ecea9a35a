"""Configurations with parsers."""
import tomllib

from metaflow import Config, pypi, requirements_txt_parser, step
from obproject import ProjectFlow


class ScoreFlow(ProjectFlow):
    settings = Config("settings", default="settings.toml", parser=tomllib.loads)
    named = Config("named", default="settings.toml", parser="tomllib.loads")
    listed = Config("listed", default="requirements.txt", parser=requirements_txt_parser)

    @pypi(python=settings.deps.python, packages=settings.deps.packages)
    @step
    def start(self):
        self.next(self.score)

    @pypi(packages=named.deps.packages)
    @step
    def score(self):
        self.next(self.end)

    @pypi(packages=listed.packages)
    @step
    def end(self):
        pass


if __name__ == "__main__":
    ScoreFlow()
