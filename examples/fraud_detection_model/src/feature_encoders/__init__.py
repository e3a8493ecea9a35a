"""Features that training and inference share."""

from .feature_encoder import FEATURES, encode

METAFLOW_PACKAGE_POLICY = "include"

__all__ = ["FEATURES", "encode"]
