from metaflow import Config, FlowSpec


class Base(FlowSpec):
    model = Config("model", default="model.json")
