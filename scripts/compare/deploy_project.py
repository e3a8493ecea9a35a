"""Runs the platform's own deployment tool on the project in the working directory, and tells what became of it.

Run with the Python of the client's environment. Everything is the tool's own, except that it reaches no network: the
flows' workflows are printed instead of created, every command gets the addresses of the stand-in, and a command that
fails does not keep the others from running. The result goes to stdout as JSON.
"""

import json
import os
import subprocess
import sys

import deploy.deploy_obproject as tool

STANDIN, NAME, REPOSITORY = sys.argv[1:]
HERE = os.path.dirname(os.path.abspath(__file__))


def environment(run):
    """What the platform's configuration would say, with every address that of the stand-in."""
    return {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_EC2_METADATA_DISABLED": "true",
        "METAFLOW_DEFAULT_DATASTORE": "s3",
        "METAFLOW_DEFAULT_METADATA": "local",
        "METAFLOW_DATASTORE_SYSROOT_S3": f"s3://{run}/metaflow",
        "METAFLOW_S3_ENDPOINT_URL": STANDIN,
        "METAFLOW_FAST_BAKERY_URL": f"{STANDIN}/bake/{run}",
        "METAFLOW_KUBERNETES_NAMESPACE": "default",
        "METAFLOW_ARGO_EVENTS_EVENT": "event",
        "METAFLOW_ARGO_EVENTS_EVENT_SOURCE": "source",
        "METAFLOW_ARGO_EVENTS_SERVICE_ACCOUNT": "account",
        "METAFLOW_ARGO_EVENTS_WEBHOOK_URL": "https://events.invalid",
        "METAFLOW_USER": "somebody",
        "OBP_PERIMETER": "default",
    }


results = []
real_run = subprocess.run


def run(cmd, **options):
    """In place of `subprocess.run` within the tool."""
    if cmd[0] == "outerbounds":
        folder = os.path.dirname(os.path.dirname(cmd[cmd.index("--config-file") + 1]))
        kind = "deployment"
        cmd = [sys.executable, os.path.join(HERE, "deploy_app.py"), *cmd[1:]]
    elif "argo-workflows" in cmd:
        folder, kind = options["cwd"], "flow"
        cmd = [*cmd, "--only-json"]
    else:
        return real_run(cmd, **options)
    name = os.path.basename(folder)
    key = f"{NAME}.{kind}.{name}"
    env = {**(options.pop("env", None) or os.environ), **environment(key)}
    options.update(env=env, capture_output=True, text=True, check=False)
    done = real_run(cmd, **options)
    results.append(
        {"component": f"{kind}/{name}", "run": key, "code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}
    )
    return subprocess.CompletedProcess(cmd, 0, "", "")


class Subprocess:
    """`subprocess` as the tool sees it."""

    run = staticmethod(run)
    __getattr__ = lambda self, name: getattr(subprocess, name)


def main():
    tool.subprocess = Subprocess()
    # This would ask the platform.
    tool.current_perimeter = lambda: "default"
    stdout, sys.stdout = sys.stdout, sys.stderr
    error = None
    try:
        # As the tool does where several projects stand in one repository.
        tool.REPO_ROOT = REPOSITORY
        tool.init_project_globals()
        flows, _ = tool.discover_flows()
        with open(tool.PROJECT_SPEC, "w") as spec:
            spec.write("{}")
        tool.deploy_flows(flows)
        tool.deploy_apps()
    except Exception as failure:  # What the tool's user would see as a traceback.
        error = f"{type(failure).__name__}: {failure}"
    json.dump({"error": error, "components": results}, stdout)


main()
