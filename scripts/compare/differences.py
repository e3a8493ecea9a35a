"""The differences from the client that are meant, each with its reason. Nothing else may differ."""

RULES = []


def rule(function):
    RULES.append(function)
    return function


def explain(case):
    """The rule that allows a difference, if one does."""
    return next((rule for rule in RULES if rule(case)), None)
