"""What is compared: environments, in one spelling."""

import hashlib
import re
import sys
from typing import NamedTuple, Optional

from metaflow._vendor.packaging.requirements import InvalidRequirement, Requirement
from metaflow._vendor.packaging.specifiers import InvalidSpecifier, SpecifierSet
from metaflow._vendor.packaging.utils import canonicalize_name
from metaflow._vendor.packaging.version import InvalidVersion, Version

# What the client adds for itself: its tasks need them to reach the store.
PINS = ("requests>=2.21.0", "boto3>=1.14.0")
# The Python that the client runs in, which it sends for deployments that ask for none.
OWN_PYTHON = "the client's own"
# `name==!=1.5`.
NOT_EQUAL_BUG = re.compile(r"(^[\w.\-\[\],]+)==!=")


class Environment(NamedTuple):
    """One environment. `python` is None where any will do; requirements are sorted."""

    python: Optional[str]
    requirements: tuple
    base: Optional[str]


class Side(NamedTuple):
    """What one side makes of a project: environments by component and step (`""` for a deployment), the files of the
    code packages by component and path (a digest, or `-> TARGET` of a link), the variables that deployments set, the error
    that it stops with, and what it says besides."""

    environments: dict
    files: dict
    variables: dict
    error: str
    warnings: list
    log: str


def digest(content):
    """A file's content, in short."""
    return hashlib.sha256(content).hexdigest()[:16]


def normalized(text):
    """A requirement with its name canonical, extras and specifiers sorted."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return text
    extras = "[%s]" % ",".join(sorted(map(canonicalize_name, requirement.extras))) if requirement.extras else ""
    url = f" @ {requirement.url}" if requirement.url else ""
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    specifiers = ",".join(sorted(map(str, requirement.specifier)))
    return canonicalize_name(requirement.name) + extras + specifiers + url + marker


def canonical(text):
    """The canonical name in a requirement."""
    return canonicalize_name(re.match(r"[\w.\-]+", text)[0])


def client_requirements(pip, conda):
    """The requirements of a request, without the client's own."""
    found = [normalized(text) for text in pip if text not in PINS]
    found += ["conda " + text for text in conda if text not in PINS]
    return tuple(sorted(found))


def our_python(text):
    return None if text is None else ",".join(sorted(map(str, SpecifierSet(text))))


def client_python(text):
    """A version as people write it, as the specifiers that it stands for: `3.11` is any patch release of it."""
    if text is None:
        return None
    if text == "%d.%d.%d" % sys.version_info[:3]:
        return OWN_PYTHON
    try:
        # The client strips the operator of `==3.12.*`.
        bare = text.lstrip("=").strip().removesuffix(".*")
        release = Version(bare).release
        return our_python(f"=={bare}.*" if len(release) <= 2 else f"=={bare}")
    except InvalidVersion:
        pass
    try:
        return our_python(text)
    except InvalidSpecifier:
        return text
