"""Our side: what `bakehouse plan` says that a project asks for."""

import json
import os
import subprocess
from pathlib import Path

from environment import Environment, Side, digest, normalized, our_python


def plan(bakehouse, project):
    report = run(bakehouse, project, "--environments")
    errors = [error["message"] for error in report["errors"]]
    environments, variables = {}, {}
    for component in report.get("components", []):
        name = "{kind}/{component}".format(**component)
        variables[name] = component["variables"]
        steps = environments[name] = {}
        for asked in component["environments"]:
            requirements = [normalized(text) for text in asked["requirements"]]
            requirements = tuple(sorted(requirements + ["conda " + text for text in asked.get("conda", [])]))
            found = Environment(our_python(asked["python"]), requirements, asked["base"])
            for step in asked["steps"] or [""]:
                steps[step] = found
    code = {} if errors else files(bakehouse, project)
    return Side(environments, code, variables, "; ".join(errors), report["warnings"], "")


def files(bakehouse, project):
    """The files in the code layers of each component, as `bakehouse plan --files` lists them: what is in them by path."""
    report = run(bakehouse, project, "--files")
    code = report.get("code") or []
    content = lambda file: "-> " + file["link"] if file["link"] else digest(Path(file["source"]).read_bytes())
    return {"{kind}/{component}".format(**part): {file["path"]: content(file) for file in part["files"]} for part in code}


def run(bakehouse, project, what):
    command = [bakehouse, "plan", what, "--branch", "main", "--format", "json", "--quiet", str(project)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
    report = json.loads(done.stdout)
    if report["errors"] and done.returncode != 10:
        raise RuntimeError(f"{project}: exit code {done.returncode}: {report['errors']}")
    return report
