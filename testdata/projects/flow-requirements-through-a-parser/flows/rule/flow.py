"""Metaflow's own parser."""
from metaflow import Config, pypi, requirements_txt_parser, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    reqs = Config("reqs", default="requirements.txt", parser=requirements_txt_parser)

    @pypi(packages=reqs.packages)
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
