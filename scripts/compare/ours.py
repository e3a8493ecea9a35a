"""Our side: what `bakehouse plan` says that a project asks for."""

import json
import os
import subprocess

from environment import Environment, Side, normalized, our_python


def plan(bakehouse, project):
    command = [bakehouse, "plan", "--environments", "--branch", "main", "--format", "json", "--quiet", str(project)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
    report = json.loads(done.stdout)
    errors = [error["message"] for error in report["errors"]]
    if errors and done.returncode != 10:
        raise RuntimeError(f"{project}: exit code {done.returncode}: {errors}")
    environments = {}
    for component in report.get("components", []):
        steps = environments["{kind}/{component}".format(**component)] = {}
        for asked in component["environments"]:
            requirements = tuple(sorted(map(normalized, asked["requirements"])))
            found = Environment(our_python(asked["python"]), requirements, asked["base"])
            for step in asked["steps"] or [""]:
                steps[step] = found
    return Side(environments, {}, "; ".join(errors), report["warnings"], "")
