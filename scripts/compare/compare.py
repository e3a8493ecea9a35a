"""Compares what the platform's own client packages would have baked with what bakehouse plans, project by project.

    compare.py BAKEHOUSE [PROJECT …]

Every project is deployed by the platform's own tool against a stand-in on this machine (`client.py`), and planned by
bakehouse (`ours.py`). Step by step and deployment by deployment, Python, requirements and base image must be equal, or
differ by one of the rules of `differences.py`. Run on all projects, a rule that is no longer needed is an error too.
"""

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import differences
from client import Client
from ours import plan

# Whether the stated differences are told too.
EXPLAIN = "COMPARE_EXPLAIN" in os.environ
ROOT = Path(__file__).resolve().parents[2]


def projects():
    """All projects that stand in the repository and can be deployed."""
    folders = [ROOT / "testdata/projects", ROOT / "testdata/projects/several-projects/projects", ROOT / "examples"]
    found = [path for folder in folders for path in sorted(folder.iterdir())]
    return [path for path in found if (path / "obproject.toml").exists()]


class Case:
    """One point at which both sides are compared, as the rules see it."""

    def __init__(self, project, component, step, field, client, ours, side):
        self.project, self.component, self.step, self.field = project.name, component, step, field
        self.client, self.ours, self.warnings = client, ours, side.warnings
        asked = side.environments.get(component, {}).get(step)
        self.is_conda = bool(asked) and any(text.startswith("conda ") for text in asked.requirements)

    def __str__(self):
        place = "/".join(filter(None, [self.project, self.component, self.step]))
        return f"{place}: {self.field}:\n    client: {self.client}\n    ours:   {self.ours}"


def cases(project, client, ours):
    """Everything in which the two sides differ."""
    if client.error or ours.error:
        if bool(client.error) != bool(ours.error):
            yield Case(project, "", "", "error", client.error, ours.error, ours)
        return
    for component in sorted(client.environments.keys() | ours.environments.keys()):
        files = client.files.get(component, {}), ours.files.get(component, {})
        if files[0].keys() != files[1].keys():
            only = lambda a, b: tuple(path for path in sorted(a) if path not in b)
            yield Case(project, component, "", "files", only(*files), only(files[1], files[0]), ours)
        for path in sorted(files[0].keys() & files[1].keys()):
            if files[0][path] != files[1][path]:
                yield Case(project, component, path, "content", files[0][path], files[1][path], ours)
        if client.variables.get(component, {}) != ours.variables.get(component, {}):
            variables = (tuple(sorted(side.variables.get(component, {}).items())) for side in (client, ours))
            yield Case(project, component, "", "variables", *variables, ours)
        theirs, mine = client.environments.get(component), ours.environments.get(component)
        if theirs is None or mine is None:
            yield Case(project, component, "", "component", theirs is not None, mine is not None, ours)
            continue
        for step in sorted(theirs.keys() | mine.keys()):
            a, b = theirs.get(step), mine.get(step)
            if a is None or b is None:
                yield Case(project, component, step, "step", a is not None, b is not None, ours)
                continue
            for field in ("python", "requirements", "base"):
                case = Case(project, component, step, field, getattr(a, field), getattr(b, field), ours)
                if case.client != case.ours:
                    yield case


def main():
    bakehouse, *named = sys.argv[1:]
    chosen = [Path(path).resolve() for path in named] or projects()
    used, failures = set(), []
    with tempfile.TemporaryDirectory(prefix="compare") as directory, Client(directory) as client:

        def both(path):
            return client.deploy(path), plan(bakehouse, path)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for path, (theirs, mine) in zip(chosen, pool.map(both, chosen)):
                found = list(cases(path, theirs, mine))
                open_cases = []
                for case in found:
                    rule = differences.explain(case)
                    used.add(rule)
                    if rule is None:
                        open_cases.append(case)
                compared = sum(len(steps) for steps in mine.environments.values())
                result = f"refused by both ({mine.error} | {theirs.error[:160]})" if mine.error and theirs.error else f"{compared} environments"
                stated = len(found) - len(open_cases)
                if EXPLAIN:
                    for case in found:
                        print(f"  {case}\n    rule:   {getattr(differences.explain(case), '__name__', None)}")
                print(f"{path.name}: {result}, {stated} stated differences, {len(open_cases)} others", flush=True)
                for case in open_cases:
                    print(f"  {case}", flush=True)
                if open_cases and theirs.log:
                    print("    " + theirs.log.replace("\n", "\n    "))
                failures.extend(open_cases)
    if not named:
        for rule in differences.RULES:
            if rule not in used:
                print(f"the rule `{rule.__name__}` in differences.py is not needed any more")
                failures.append(rule)
    print(f"{len(chosen)} projects compared, {len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
