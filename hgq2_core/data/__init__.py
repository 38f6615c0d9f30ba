"""Data on their way to a model: what a data set hands over, standardization, and batches of all that `fit` takes."""

from hgq2_core.data.splits import Array, Dataset, Split, Splits

__all__ = ["Array", "Dataset", "Split", "Splits"]
