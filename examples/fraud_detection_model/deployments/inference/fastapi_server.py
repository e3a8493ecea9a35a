"""Scores transactions over HTTP."""

import pandas as pd
from fastapi import FastAPI
from feature_encoders import encode
from pydantic import BaseModel

app = FastAPI(title="Fraud detection")


class Transaction(BaseModel):
    """A card transaction."""

    time: str
    amount: float
    country: str
    home_country: str


@app.get("/health")
def health():
    """Answers as soon as the server is up."""
    return {"status": "ok"}


@app.post("/score")
def score(transaction: Transaction):
    """A hand-made score until the trainer has published a model: large foreign transactions are suspicious."""
    features = encode(pd.DataFrame([transaction.model_dump()])).iloc[0]
    return {"fraud": bool(features["foreign"] and features["amount"] > 500)}
