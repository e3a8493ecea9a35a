"""Makes the client's store reachable without a login: on the path of every Python that a client starts.

The platform's packages fetch credentials for S3 from the platform; here the ones in the environment serve, as they do for
Metaflow without those packages.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.util import find_spec

MODULE = "metaflow.plugins.aws.aws_client"


class Edge(MetaPathFinder):
    """Changes the module when it is loaded, and is gone then."""

    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            module.cached_provider_class = module.Boto3ClientProvider

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Edge())
