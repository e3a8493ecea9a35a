from shared import COMMON

PYTHON = "3.11"
EXTRA = dict(COMMON, duckdb="1.0.0")
