from shared.versions import PYTHON, packages

LINES = ["attrs==23.2.0", "rich>=13", "click"]


def parsed(lines=LINES):
    found = {}
    for line in lines:
        if "==" in line:
            name, version = line.split("==")
            found[name] = version
        elif ">=" in line:
            parts = line.split(">=")
            found[parts[0]] = f">={parts[1]}"
        else:
            found[line] = ""
    return found


def environment(gpu=False, **more):
    """Everything that @pypi takes."""
    chosen = packages("pandas")
    libraries = dict(chosen)
    libraries.update(more)
    if gpu:
        libraries["torch"] = "2.5.1"
    else:
        libraries.pop("pandas", None)
    return {"python": PYTHON, "packages": libraries}
