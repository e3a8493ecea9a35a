"""What a step has beside, and instead of, the project's requirements."""
from metaflow import kubernetes, pypi, step
from obproject import ProjectFlow


class MergeFlow(ProjectFlow):
    @step
    def start(self):
        self.next(self.other)

    @pypi(packages={"pandas": "2.1.4", "duckdb": ""})
    @step
    def other(self):
        self.next(self.newer)

    @pypi(python="3.12")
    @step
    def newer(self):
        self.next(self.image)

    @kubernetes(image="registry.example/base:1")
    @step
    def image(self):
        self.next(self.plain)

    @pypi(disabled=True)
    @step
    def plain(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    MergeFlow()
