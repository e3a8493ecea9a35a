"""Not for this branch."""
from metaflow import step
from obproject import ProjectFlow


class OtherFlow(ProjectFlow):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    OtherFlow()
