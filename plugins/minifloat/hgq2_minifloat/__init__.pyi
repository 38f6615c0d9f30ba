from hgq2_minifloat.arithmetic import quantize as quantize
from hgq2_minifloat.config import Minifloat as Minifloat
from hgq2_minifloat.integers import MXInt as MXInt
from hgq2_minifloat.presets import BFloat16 as BFloat16
from hgq2_minifloat.presets import Float16 as Float16
from hgq2_minifloat.presets import Float4E2M1FN as Float4E2M1FN
from hgq2_minifloat.presets import Float6E2M3FN as Float6E2M3FN
from hgq2_minifloat.presets import Float6E3M2FN as Float6E3M2FN
from hgq2_minifloat.presets import Float8E3M4 as Float8E3M4
from hgq2_minifloat.presets import Float8E4M3 as Float8E4M3
from hgq2_minifloat.presets import Float8E4M3B11FNUZ as Float8E4M3B11FNUZ
from hgq2_minifloat.presets import Float8E4M3FN as Float8E4M3FN
from hgq2_minifloat.presets import Float8E4M3FNUZ as Float8E4M3FNUZ
from hgq2_minifloat.presets import Float8E5M2 as Float8E5M2
from hgq2_minifloat.presets import Float8E5M2FNUZ as Float8E5M2FNUZ

__version__: str
