"""Data for a model: the result of a data set, standardization, and batches of everything that `fit` takes."""

from hgq2_core.data.preprocessing import Preprocessing
from hgq2_core.data.splits import Array, Dataset, Split, Splits

__all__ = ["Array", "Dataset", "Preprocessing", "Split", "Splits"]
