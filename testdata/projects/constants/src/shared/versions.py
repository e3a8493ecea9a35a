PANDAS = "2.2.2"
COMMON = {"pandas": PANDAS, "pyarrow": "16.1.0"}
