PYTHON = "3.12"
PINS = {"pandas": "2.2.2", "jax[cpu]": ">=0.4", "scikit-learn": "1.5.2", "boto3": "1.35.32"}


def packages(*names: str, latest=()):
    """The named packages with their versions; whatever has none may be any."""
    return {name: "" if name in latest else PINS.get(name, "") for name in names}


def pinned(*names):
    return {name: PINS[name] for name in names if name in PINS}
