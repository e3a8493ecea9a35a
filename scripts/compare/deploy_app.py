"""The platform's `outerbounds` command, as far as it goes before the platform is asked to run anything.

Whoever comes to the point where the deployment would be handed over has baked the image and stored the code: there it
ends, with success.
"""

import sys

# The order matters: the command line's package chooses which copy of click the other one uses.
from outerbounds.cli_main import cli
from metaflow.ob_internal import app_core


def handed_over(*_, **__):
    sys.exit(0)


app_core.capsule.CapsuleDeployer = handed_over
sys.argv[0] = "outerbounds"
cli()
