"""A function that applies a list of decorators; arguments made of numbers; an image among unpacked arguments."""
from metaflow import environment, kubernetes, pypi, step
from obproject import ProjectFlow

RESOURCES = dict(cpu=4, memory=16 * 1000, image="registry.example/team/gpu:2")


def training(step):
    decorators = [
        pypi(python="3.11", packages={"torch": "2.5.1", "huggingface-hub[hf_transfer]": "0.25.2"}),
        environment(vars={"MODE": "train"}),
    ]
    for decorator in decorators:
        step = decorator(step)
    return step


class RuleFlow(ProjectFlow):
    @training
    @kubernetes(**RESOURCES)
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RuleFlow()
