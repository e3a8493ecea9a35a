"""The model: kept apart from the flow, so that it can be tried without one."""

import pandas as pd
from feature_encoders import encode
from sklearn.linear_model import LogisticRegression


def example_transactions() -> pd.DataFrame:
    """A few transactions, large foreign ones at night being fraud."""
    return pd.DataFrame(
        {
            "time": ["2024-05-01T10:00:00Z", "2024-05-01T03:00:00Z"] * 20,
            "amount": [12.5, 980.0] * 20,
            "country": ["FI", "US"] * 20,
            "home_country": ["FI", "FI"] * 20,
            "fraud": [0, 1] * 20,
        }
    )


def train(transactions: pd.DataFrame):
    """The fitted classifier and its accuracy on the data it was fitted on."""
    features = encode(transactions)
    model = LogisticRegression(max_iter=1000).fit(features, transactions["fraud"])
    return model, model.score(features, transactions["fraud"])
