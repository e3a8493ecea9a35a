"""Turns raw transactions into the numbers that the classifier sees."""

import pandas as pd

FEATURES = ["amount", "hour", "foreign"]


def encode(transactions: pd.DataFrame) -> pd.DataFrame:
    """One row of features for each transaction."""
    time = pd.to_datetime(transactions["time"], utc=True)
    return pd.DataFrame(
        {
            "amount": transactions["amount"].astype(float),
            "hour": time.dt.hour,
            "foreign": (transactions["country"] != transactions["home_country"]).astype(int),
        },
        index=transactions.index,
    )[FEATURES]
