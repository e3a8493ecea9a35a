"""A module beside the flow."""
from versions import COMMON

ALL = dict(COMMON, rich="13.7.1")
