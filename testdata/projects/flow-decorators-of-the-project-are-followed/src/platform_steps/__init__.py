"""Decorators that the project's flows share."""
from metaflow import kubernetes, pypi

METAFLOW_PACKAGE_POLICY = "include"


def training(step):
    """Packages and image of training."""
    step = kubernetes(image="registry.example/team/gpu:1")(step)
    return pypi(packages={"torch": "2.3.0"})(step)


def sized(version="2.2.2", image="registry.example/team/cpu:1"):
    def apply(step):
        return kubernetes(image=image)(pypi(packages={"pandas": version})(step))

    return apply
