import yaml
from metaflow import Config

try:
    import tomllib

    toml_parser = "tomllib.loads"
except ImportError:
    toml_parser = "toml.loads"


def with_defaults(text):
    """The file's own packages, over some that every flow has."""
    config = yaml.safe_load(text)
    packages = {"attrs": "23.2.0", "idna": "3.7"}
    packages.update(config["packages"])
    return {"packages": dict(packages)}


def of_json(text):
    import json

    found = json.loads(text)
    return found["environments"]


class Sensor:
    sensor = Config("sensor", default="sensor.toml", parser=toml_parser)
    train = Config("train", default="train.yml", parser=with_defaults)
