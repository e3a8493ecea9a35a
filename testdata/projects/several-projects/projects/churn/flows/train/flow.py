"""A project without packages of its own."""
from metaflow import step
from obproject import ProjectFlow


class TrainFlow(ProjectFlow):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    TrainFlow()
