"""tensorflow: the formulas over its operations."""

from hgq2_core.ops.tensorflow import OPERATIONS, differentiable
from hgq2_minifloat.formulas import Formulas
from hgq2_minifloat.ops.compiled import CompiledBackend

_formulas = Formulas(OPERATIONS)
BACKEND = CompiledBackend(_formulas, differentiable(_formulas))
