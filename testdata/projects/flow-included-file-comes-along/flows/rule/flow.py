"""IncludeFile(default=…): the client sends the content, the image has the file."""
from metaflow import IncludeFile, step
from obproject import ProjectFlow


class RuleFlow(ProjectFlow):
    words = IncludeFile("words", default="words.txt")

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
