def encode(value): return float(value)
