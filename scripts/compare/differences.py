"""The differences from the client that are meant, each with its reason. Nothing else may differ."""

from environment import NOT_EQUAL_BUG, OWN_PYTHON, PINS, canonical, normalized

RULES = []


def rule(function):
    RULES.append(function)
    return function


def explain(case):
    """The rule that allows a difference, if one does."""
    return next((rule for rule in RULES if rule(case)), None)


def warned(case, text, file=""):
    return any(text in warning["message"] and file in (warning["file"] or "") for warning in case.warnings)


def is_deployment(case):
    return case.component.startswith("deployment/")


@rule
def the_client_sends_its_own_python_for_deployments(case):
    """A deployment that asks for no Python gets the one that the client happens to run in. Here `requires-python` of the
    file with the packages counts, and where there is none, the base image's Python."""
    return case.field == "python" and is_deployment(case) and case.client == OWN_PYTHON


@rule
def the_client_writes_not_equal_wrongly(case):
    """The client does not know that `!=` is an operator, and sends `name==!=1.5`, which no resolver takes."""
    fixed = lambda text: normalized(NOT_EQUAL_BUG.sub(r"\1!=", text))
    return case.field == "requirements" and tuple(sorted(map(fixed, case.client))) == case.ours


@rule
def the_client_writes_a_leading_space_wrongly(case):
    """` >=1` becomes `name== >=1` there; the space means nothing."""
    fixed = lambda text: normalized(text.replace("== ", ""))
    return case.field == "requirements" and tuple(sorted(map(fixed, case.client))) == case.ours


@rule
def the_client_overwrites_its_pins_in_deployments(case):
    """What a deployment says of the packages that the client needs itself is replaced by the client's own bounds. Here it
    counts."""
    if case.field != "requirements" or not is_deployment(case):
        return False
    pinned = {canonical(pin) for pin in PINS}
    others = tuple(text for text in case.ours if canonical(text) not in pinned)
    return case.client == others


@rule
def the_client_keeps_one_package_under_two_names(case):
    """The client compares names as they are written, and so sends two requirements for one package, of which the base's was
    to be replaced. Here names are compared as the index does, and without their extras."""
    if case.field != "requirements":
        return False
    kept = {canonical(text) for text in case.ours}
    extra = [text for text in case.client if text not in case.ours]
    same = set(case.ours) <= set(case.client)
    return same and bool(extra) and all(canonical(text) in kept for text in extra)


# What a flow reads when it runs: configurations, included files, queries (with a warning); and the README that documents its image.
CONFIGURATIONS = (".json", ".toml", ".yaml", ".yml", ".txt", ".csv", ".sql", "/README.md")


@rule
def files_of_configurations_come_along(case):
    """The client reads a flow's configurations when it is deployed, and sends their values. Here the files themselves are in
    the image, `obproject.toml` among them: the flow reads them when it starts."""
    return case.field == "files" and not case.client and all(path.endswith(CONFIGURATIONS) for path in case.ours)


@rule
def packages_come_along_whole(case):
    """The client brings the packages that are imported while a flow is deployed; an import inside of a step does not count.
    Here the packages of `src/`, and what the code imports from the project's root, are there."""
    code = [path for path in case.ours if not path.endswith(CONFIGURATIONS)] if case.field == "files" else []
    folder = "app/" + case.component.replace("flow/", "flows/") + "/"
    return bool(code) and not case.client and not any(path.startswith(folder) for path in code)


@rule
def a_file_beside_the_configuration_adds_to_the_project(case):
    """The client never reads `deployments/NAME/requirements.txt` or `pyproject.toml`. Here, in a deployment that names no
    dependencies, its entries are laid over the project's: whoever writes such a file means it. A warning says so."""
    folder = "deployments/" + case.component.partition("/")[2]
    return case.field in ("python", "requirements") and is_deployment(case) and warned(case, "the platform's client would not read it", folder)


@rule
def the_client_loses_python_of_an_unpacked_configuration(case):
    """With `@pypi(**config.environment)` the client does not see that `python` is among the values, and sends none. Here it
    counts, with a warning."""
    lost = case.field == "python" and not is_deployment(case) and case.client is None
    return lost and warned(case, "a configuration is unpacked into @pypi")


@rule
def requirements_files_may_be_written_as_pip_reads_them(case):
    """Markers, `-r`, `-c`, `--hash` and indexes are refused by the client's own parser. They are understood here."""
    refused = ("Environment markers", "Not a valid PEP 508 requirement")
    return case.field == "error" and not case.ours and any(text in case.client for text in refused)


@rule
def files_beside_the_folders_of_flows_are_left_out(case):
    """The platform's tool stops at any file in `flows/`. Here a warning names those that look like flows."""
    return case.field == "error" and not case.ours and case.client.startswith("NotADirectoryError")


@rule
def flows_that_the_platforms_tool_does_not_recognize_are_built(case):
    """The platform's tool looks for the word ProjectFlow among a class's bases. Here the name may be an alias, and FlowSpec
    will do too, with a warning."""
    refused = "Could not find a flow subclassing from ProjectFlow"
    return case.field == "error" and not case.ours and refused in case.client


@rule
def names_of_projects_are_the_platforms_business(case):
    """Flows of a project with a dash in its name cannot be deployed; an image does not mind."""
    refused = "The @project name must contain only lowercase alphanumeric characters and underscores"
    return case.field == "error" and not case.ours and refused in case.client


@rule
def conda_without_a_python_has_the_clients_own(case):
    """For conda packages the client sends its own Python where none is asked for. Here the base's would count."""
    return case.field == "python" and case.is_conda and case.client == OWN_PYTHON and case.ours is None
