"""The client's side: deploys a project with the platform's own tool, and reads what the stand-in got."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

from environment import Environment, Side, client_python, client_requirements, digest
from standin import StandIn

HERE = Path(__file__).resolve().parent
# What the platform's configuration would name for steps and deployments that name no image.
DEFAULT_IMAGE = "default.invalid/base"
# What the platform's login leaves behind.
LOGIN = {
    "OBP_PERIMETER": "default",
    "OBP_API_SERVER": "api.invalid",
    "OBP_INTEGRATIONS_URL": "https://integrations.invalid",
}


class Client:
    def __init__(self, directory):
        self.directory = Path(directory)
        self.numbers = itertools.count()
        home = self.directory / "home/.metaflowconfig"
        home.mkdir(parents=True)
        (home / "config.json").write_text(json.dumps(LOGIN))

    def __enter__(self):
        self.standin = StandIn()
        return self

    def __exit__(self, *_):
        self.standin.close()

    def deploy(self, project):
        """What the client would have baked for every step and deployment of a project."""
        name = "p%d" % next(self.numbers)
        # One of several projects is deployed from where all of them stand.
        repository = next((above for above in project.parents if (above / "obproject_multi.toml").exists()), project)
        copied = self.directory / name / repository.name
        shutil.copytree(repository, copied, symlinks=True)
        copy = copied / project.relative_to(repository)
        # The tool wants a repository: it asks for branch and commit.
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.invalid", "-c", "init.defaultBranch=main"]
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x", "--allow-empty"]):
            subprocess.run([*git, *command], cwd=copied, check=True, capture_output=True)
        env = {
            "HOME": str(self.directory / "home"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(HERE / "edges"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "METAFLOW_KUBERNETES_CONTAINER_IMAGE": DEFAULT_IMAGE,
        }
        command = [sys.executable, str(HERE / "deploy_project.py"), self.standin.url, name, str(copied)]
        done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{project}: {done.stderr}")
        result = json.loads(done.stdout)
        failed = [run for run in result["components"] if run["code"] != 0]
        logs = [run["component"] + ": " + (run["stderr"] or run["stdout"])[-1500:] for run in failed]
        errors = [result["error"]] if result["error"] else []
        errors += [run["component"] + ": " + last_line(run) for run in failed]
        environments, files, variables = {}, {}, {}
        for run in result["components"]:
            if run["code"] == 0:
                environments[run["component"]] = self._environments(run)
                files[run["component"]] = in_image(copy, copied, run["component"], self._files(run["run"]))
                variables[run["component"]] = set_variables(run["stdout"])
        return Side(environments, files, variables, "; ".join(errors), [], "\n".join(logs))

    def _environments(self, run):
        bakes = self.standin.bakes[run["run"]]
        if run["component"].startswith("deployment/"):
            if bakes:
                return {"": environment(bakes[0])}
            # No image is baked where nothing is to be installed: the one that is named is used as it is.
            image = re.search(r"Using the docker image : (\S+)", run["stdout"])[1]
            return {"": Environment(None, (), None if image == DEFAULT_IMAGE else image)}
        images = {}
        for template in workflow(run["stdout"])["spec"]["templates"]:
            step = template.get("metadata", {}).get("annotations", {}).get("metaflow/step_name")
            if step and "container" in template:
                images[step] = template["container"]["image"]
        steps = {}
        for step, image in images.items():
            kind, _, number = image.partition("/")
            if kind == "baked.invalid":
                steps[step] = environment(bakes[int(number)])
            else:
                steps[step] = Environment(None, (), None if image == DEFAULT_IMAGE else image)
        return steps

    def _files(self, run):
        """The files in the code package that a component stored: what is in them, by path."""
        for blob in self.standin.blobs[run].values():
            if blob[:2] == b"\x1f\x8b":
                with tarfile.open(fileobj=BytesIO(blob), mode="r:gz") as package:
                    return {member.name.lstrip("/"): content(package, member) for member in package}
        return {}


# What the tool sets of its own.
TOOLS_OWN = ("OB_PROJECT", "OB_BRANCH", "EXTRA_PYTHONPATH")


def set_variables(stdout):
    """The variables that a deployment sets; a flow sets none."""
    found = re.search(r"^VARIABLES (.*)$", stdout, re.MULTILINE)
    variables = json.loads(found[1]) if found else {}
    return {name: value for name, value in variables.items() if name not in TOOLS_OWN}


def content(package, member):
    """What is in an entry of a code package."""
    return "-> " + member.linkname if member.issym() else digest(package.extractfile(member).read())


def environment(bake):
    """A request to bake, as an environment."""
    base = bake["baseImage"]["imageReference"]
    return Environment(
        client_python(bake["pythonVersion"]),
        client_requirements(bake.get("pipRequirements", []), bake.get("condaMatchspecs", [])),
        None if base == DEFAULT_IMAGE else base,
    )


# What the client brings of its own.
CLIENTS_OWN = (".mf_code/metaflow", ".mf_code/obproject/", ".mf_code/highlight_card/", ".mf_meta/", ".mf_install", "project_spec.json")


def in_image(project, repository, component, files):
    """The files of a code package as they are in an image: a flow's in its folder, modules where they are imported from."""
    found = {}
    for path, inside in files.items():
        if path.startswith(CLIENTS_OWN) or path in (".mf_code", ".mf_meta"):
            continue
        module = path.removeprefix(".mf_code/")
        if module != path:
            # A module that decorates steps is packed once more, although it stands beside the flow.
            own = "flows/" + component.removeprefix("flow/")
            folders = {f"app/{own}": project / own, "app/src": project / "src", "app": project, "opt/libraries": repository}
            folder = next((folder for folder, path in folders.items() if (path / module).exists()), "app")
            path = f"{folder}/{module}"
        elif component.startswith("flow/"):
            path = f"app/flows/{component[5:]}/{path}"
        else:
            path = f"app/{path}"
        found[path] = inside
    return found


def workflow(stdout):
    """The workflow in a client's output, which begins on a line of its own."""
    start = 0 if stdout.startswith("{") else stdout.index("\n{")
    return json.JSONDecoder().raw_decode(stdout[start:].strip())[0]


def last_line(run):
    lines = (run["stderr"].strip() or run["stdout"].strip()).splitlines()
    return lines[-1].strip() if lines else ""
