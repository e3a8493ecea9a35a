COMMON = {"pandas": "2.2.2"}
