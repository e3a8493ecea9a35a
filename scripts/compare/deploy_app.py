"""The platform's `outerbounds` command, as far as it goes before the platform is asked to run anything.

Whoever comes to the point where the deployment would be handed over has baked the image and stored the code: there it
ends, with success.
"""

import json
import sys

# The order matters: the command line's package chooses which copy of click the other one uses.
from outerbounds.cli_main import cli
from metaflow.ob_internal import app_core
from metaflow_extensions.outerbounds.plugins.apps.core import validations


def handed_over(app_config, *_, **__):
    variables = app_core.capsule.CapsuleInput._marshal_environment_variables(app_config)
    print("\nVARIABLES " + json.dumps({variable["name"]: variable["value"] for variable in variables}))
    sys.exit(0)


app_core.capsule.CapsuleDeployer = handed_over
# Whether the secrets exist is the platform's to say.
validations.secrets_validator = lambda _: None
sys.argv[0] = "outerbounds"
cli()
