from .versions import COMMON

METAFLOW_PACKAGE_POLICY = "include"
