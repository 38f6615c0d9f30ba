"""A recording as a project of hls4ml. Only this module imports hls4ml, which changes registries of its own."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import numpy as np

from hgq2_core.errors import ExactnessError
from hgq2_core.exact import IntervalArray, Intervals
from hgq2_core.exact.integer_array import NO_BITS
from hgq2_core.exact.integers import to_float
from hgq2_core.exporting.errors import Unsupported, named
from hgq2_core.files import write_text
from hgq2_hls4ml.code import CodeWriter
from hgq2_hls4ml.formats import formats
from hgq2_hls4ml.nodes import Constant, Input, Leaf, Node, Product
from hgq2_hls4ml.record import Entry
from hgq2_hls4ml.recording import Recording
from hgq2_hls4ml.types import AcTypes, ApTypes, Kif, Types

TOP = "model"
HEADER = "hgq2_nodes.h"
TYPES: Mapping[str, type[Types]] = {"Vivado": ApTypes, "Vitis": ApTypes, "oneAPI": AcTypes, "Quartus": AcTypes}
