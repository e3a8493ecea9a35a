"""Trains the fraud classifier."""

from pathlib import Path

from metaflow import pypi, step
from obproject import ProjectFlow

SKLEARN = {"scikit-learn": "1.5.1"}


class TrainerFlow(ProjectFlow):
    """Reads transactions, encodes their features, fits a classifier."""

    @step
    def start(self):
        self.query = (Path(__file__).parent / "sql" / "transactions.sql").read_text()
        self.next(self.train)

    @pypi(packages=SKLEARN)
    @step
    def train(self):
        from mymodel import example_transactions, train

        self.model, self.score = train(example_transactions())
        self.next(self.end)

    @step
    def end(self):
        print(f"accuracy: {self.score:.2f}")


if __name__ == "__main__":
    TrainerFlow()
