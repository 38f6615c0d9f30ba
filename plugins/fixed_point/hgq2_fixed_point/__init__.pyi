from hgq2_fixed_point.arithmetic import quantize as quantize
from hgq2_fixed_point.config import KBI as KBI
from hgq2_fixed_point.config import KIF as KIF
from hgq2_fixed_point.discrete_config import Binary as Binary
from hgq2_fixed_point.discrete_config import Identity as Identity
from hgq2_fixed_point.discrete_config import PowerOfTwo as PowerOfTwo
from hgq2_fixed_point.discrete_config import Ternary as Ternary

__version__: str
