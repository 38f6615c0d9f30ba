"""What lies beside every export for its host: ports.json, and C and Python that quantize inputs as it says."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from hgq2_core.exporting.ports import PORTS, Element, Port, Ports
from hgq2_core.files import write_json, write_text

HEADER, SCRIPT = "host_quantize.h", "host_quantize.py"
LINE = 110
WIDE = ("float64", "int32", "uint32", "int64", "uint64")
"""The dtypes whose numbers a float of C does not hold."""


def write_host(directory: Path, ports: Ports) -> None:
    """Write `ports.json`, `host_quantize.h` and `host_quantize.py`.

    Args:
        directory: of the export.
        ports: its ports.
    """
    write_json(directory / PORTS, ports.to_dict())
    snippets = resources.files("hgq2_core.exporting.snippets")
    write_text(directory / SCRIPT, (snippets / SCRIPT).read_text(encoding="utf-8"))
    functions = map(_function, c_names(ports.inputs), ports.inputs)
    header = [(snippets / HEADER).read_text(encoding="utf-8"), *functions, "#endif\n"]
    write_text(directory / HEADER, "\n".join(header))


def c_names(ports: Sequence[Port]) -> list[str]:
    """Return the names of ports in C, each unlike the others in capitals too, as macros are written."""
    names: dict[str, str] = {}
    for port in ports:
        name = re.sub(r"\W", "_", port.name, flags=re.ASCII)
        while name.upper() in names:
            name += "_"
        names[name.upper()] = name
    return list(names.values())


def c_type(port: Port) -> str:
    """Return the type in C in which a host has the numbers of an input."""
    return "double" if port.dtype in WIDE else "float"


def tables(name: str, port: Port) -> str:
    """Return the elements and the step functions of an input in C, for `hgq2_core/exporting/snippets/host_quantize.h`.

    Args:
        name: of the input in C.
        port: of the input.
    """
    firsts, values = [0], [0]
    for each in port.steps:
        firsts.append(firsts[-1] + len(each.thresholds))
        values.append(values[-1] + len(each.values))
    elements = [_element(port, element, firsts, values) for element in port.elements]
    thresholds = [repr(x) for each in port.steps for x in each.thresholds] or ["0.0"]
    numbers = [f"INT64_C({x})" for each in port.steps for x in each.values] or ["0"]
    return f"""\
static const host_element host_elements_{name}[] = {_braced(elements)};
static const double host_thresholds_{name}[] = {_braced(thresholds)};
static const int64_t host_values_{name}[] = {_braced(numbers)};
"""


def _function(name: str, port: Port) -> str:
    size, count = math.prod(port.shape), len(port.elements)
    return f"""\
#define HOST_{name.upper()}_NUMBERS {size}
#define HOST_{name.upper()}_ELEMENTS {count}

{tables(name, port)}
static inline int host_quantize_{name}(const {c_type(port)} *x, int64_t *out) {{
    for (int n = 0; n < {size}; n++)
        if (!(x[n] - x[n] == 0)) return 1;
    for (int n = 0; n < {count}; n++) {{
        const host_element *e = host_elements_{name} + n;
        if (!e->width) out[n] = 0;
        else if (e->steps >= 0) out[n] = host_step(x[e->place], e, host_thresholds_{name}, host_values_{name});
        else out[n] = host_fixed_point(x[e->place], e);
    }}
    return 0;
}}
"""


def _element(port: Port, element: Element, firsts: Sequence[int], values: Sequence[int]) -> str:
    fields: list[object] = [element.place, element.width, element.k, element.i, element.f]
    if element.steps is None:
        fields += [f"HOST_{element.round_mode}", f"HOST_{element.overflow_mode}", -1, 0, 0]
    else:
        count = len(port.steps[element.steps].thresholds)
        fields += [0, 0, firsts[element.steps], values[element.steps], count]
    return f"{{{', '.join(map(str, fields))}}}"


def _braced(items: Sequence[str]) -> str:
    """Return an initializer of C, in lines of a readable length."""
    lines, line = [], ""
    for item in items:
        if line and len(line) + len(item) > LINE:
            lines.append(line)
            line = ""
        line += f"{item}, "
    return "{\n" + "".join(f"    {each.rstrip()}\n" for each in [*lines, line]) + "}"
