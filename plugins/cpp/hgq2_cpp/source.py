"""The C++ of a program: tables as data, and a call for each instruction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hgq2_core.exporting.host_files import c_names, c_type, tables
from hgq2_core.exporting.ports import Port
from hgq2_cpp.model import Emulator
from hgq2_cpp.planning import Plan, plan
from hgq2_cpp.program import Instruction

LINE = 118
TYPES = ((2**7, "std::int8_t"), (2**15, "std::int16_t"), (2**31, "std::int32_t"), (2**63, "std::int64_t"))

NAMES = {
    "add": "Add",
    "subtract": "Subtract",
    "multiply": "Multiply",
    "maximum": "Maximum",
    "minimum": "Minimum",
    "less": "Less",
}

HEADER = """\
// A quantized model as integer arithmetic, bit for bit. Written by hgq2-cpp; C++17, needs the standard library alone.
//
//     hgq2::{name}::Model model;
//     model.predict({{x}}, {{y}}, samples);  // x: inputs as the model takes them, y: its outputs, sample after sample
//
// `run` takes and gives the integers of the ports, as ports.json says. A Model holds the memory of one thread.
#ifndef HGQ2_MODEL_{name}_H
#define HGQ2_MODEL_{name}_H

#include <array>
#include <cmath>
#include <memory>

#include "hgq2_host.h"

#ifdef {name}
#error "{name} is a macro here. Export the model under another name."
#endif

namespace hgq2 {{
namespace {name} {{

constexpr int INPUTS = {inputs}, OUTPUTS = {outputs};
constexpr const char *INPUT_NAMES[] = {{{input_names}}};
constexpr const char *OUTPUT_NAMES[] = {{{output_names}}};
constexpr std::size_t INPUT_NUMBERS[] = {{{input_numbers}}};  // of a sample, as the model takes it
constexpr std::size_t INPUT_ELEMENTS[] = {{{input_elements}}};  // of a sample, in integers
constexpr std::size_t OUTPUT_NUMBERS[] = {{{output_numbers}}};

struct Rows {{
    alignas(64) Row<std::int32_t> narrow[{narrow}];
    alignas(64) Row<std::int64_t> wide[{wide}];
}};

"""

CLASS = """\
class Model {{
  public:
    Model() : rows_(new Rows()) {{ constants(*rows_); }}

    // Returns false where an input holds NaN or an infinity; what is in the outputs then means nothing.
    bool predict(const std::array<const void *, INPUTS> &inputs, const std::array<double *, OUTPUTS> &outputs,
                 std::size_t samples) {{
        for (std::size_t first = 0; first < samples; first += BLOCK) {{
            const int count = static_cast<int>(samples - first < BLOCK ? samples - first : BLOCK);
            if (!enter_numbers(*rows_, inputs, first, count)) return false;
            compute(*rows_);
            give(*rows_, outputs, first, count,
                 [](std::int64_t n, double step) {{ return static_cast<double>(n) * step; }});
        }}
        return true;
    }}

    void run(const std::array<const std::int64_t *, INPUTS> &inputs, const std::array<std::int64_t *, OUTPUTS> &outputs,
             std::size_t samples) {{
        for (std::size_t first = 0; first < samples; first += BLOCK) {{
            const int count = static_cast<int>(samples - first < BLOCK ? samples - first : BLOCK);
            enter_integers(*rows_, inputs, first, count);
            compute(*rows_);
            give(*rows_, outputs, first, count, [](std::int64_t n, double) {{ return n; }});
        }}
    }}

  private:
    std::unique_ptr<Rows> rows_;
}};

}}  // namespace {name}
}}  // namespace hgq2

#endif
"""


def source(emulator: Emulator, name: str) -> str:
    """Return the header of a model.

    Args:
        emulator: the model.
        name: of its namespace.
    """
    return _Source(emulator, name).text()


class _Source:
    def __init__(self, emulator: Emulator, name: str) -> None:
        self.emulator, self.name = emulator, name
        self.program = emulator.program
        self.plan: Plan = plan(self.program)
        self.tables: list[str] = []
        self._known: dict[tuple[str, bytes], str] = {}

    def text(self) -> str:
        """Return the whole header."""
        inputs, outputs = self.emulator.inputs, self.emulator.outputs
        functions = [self._constants(), *self._inputs(), self._compute(), self._outputs()]
        header = HEADER.format(
            name=self.name,
            inputs=len(inputs),
            outputs=len(outputs),
            input_names=_quoted(inputs),
            output_names=_quoted(outputs),
            input_numbers=", ".join(str(int(np.prod(port.shape))) for port in inputs),
            input_elements=", ".join(str(len(port.elements)) for port in inputs),
            output_numbers=", ".join(str(len(port.elements)) for port in outputs),
            narrow=max(self.plan.narrow, 1),
            wide=max(self.plan.wide, 1),
        )
        host = map(tables, c_names(inputs), inputs)
        return "\n".join([header, *host, *self.tables, *functions, CLASS.format(name=self.name)])

    def _table(self, values: Any, kind: str | None = None) -> str:
        """Return the name of a table of numbers, of a given type or of the smallest that holds them."""
        flat = np.asarray(values).ravel()
        largest = max(int(flat.max(initial=0)), -1 - int(flat.min(initial=0))) if flat.size else 0
        kind = kind or next(name for limit, name in TYPES if largest < limit)
        key = kind, flat.tobytes()
        if key not in self._known:
            self._known[key] = f"t{len(self._known)}"
            items = [f"INT64_C({n})" if abs(n) >= 2**31 else str(n) for n in flat.tolist()] or ["0"]
            self.tables.append(f"constexpr {kind} {self._known[key]}[] = {{{_wrapped(items)}}};\n")
        return self._known[key]

    def _rows(self, rows: npt.NDArray[Any]) -> str:
        return self._table(self.plan.place[rows], "std::int32_t")

    def _small(self, numbers: npt.NDArray[Any]) -> str:
        return self._table(numbers, "std::uint8_t")

    def _kind(self, rows: npt.NDArray[Any]) -> tuple[str, str]:
        """Return the type of rows, and where they lie."""
        wide = bool(rows.size and self.program.wide[rows.ravel()[0]])
        return _int(wide), "w.wide" if wide else "w.narrow"

    def _constants(self) -> str:
        lines = []
        for wide, field in ((False, "narrow"), (True, "wide")):
            rows = np.array([row for row in self.program.constants if self.program.wide[row] == wide], dtype=np.int64)
            if rows.size:
                values = self._table([self.program.constants[row] for row in rows.tolist()])
                lines.append(f"fill({rows.size}, {self._rows(rows)}, {values}, w.{field});")
        return _function("void constants(Rows &w)", lines or ["static_cast<void>(w);"])

    def _inputs(self) -> list[str]:
        numbers, integers, place = [], [], 0
        for port, (name, wanted) in enumerate(zip(c_names(self.emulator.inputs), self.emulator.inputs, strict=True)):
            size, count = int(np.prod(wanted.shape)), len(wanted.elements)
            rows = [self.program.inputs.get(entry, -1) for entry in self.emulator.entries[place : place + count]]
            place += count
            for wide, field in ((False, "narrow"), (True, "wide")):
                here = [n for n, row in enumerate(rows) if row >= 0 and self.program.wide[row] == wide]
                if not here:
                    continue
                places, own = self._table(here, "std::int32_t"), self._rows(np.array(rows)[here])
                kind = c_type(wanted)
                numbers.append(
                    f"const {kind} *x{port}{field} = static_cast<const {kind} *>(inputs[{port}]) + first * {size};\n"
                    f"    for (int n = 0; n < {len(here)}; n++)\n"
                    f"        if (!enter(host_elements_{name}[{places}[n]], host_thresholds_{name}, host_values_{name},"
                    f" "
                    f"x{port}{field}, {size}, count, w.{field}[{own}[n]])) return false;"
                )
                integers.append(
                    f"for (int n = 0; n < {len(here)}; n++)\n"
                    f"        for (int s = 0; s < BLOCK; s++)\n"
                    f"            w.{field}[{own}[n]][s] = s < count ? static_cast<{_int(wide)}>("
                    f"inputs[{port}][(first + static_cast<std::size_t>(s)) * {count} + {places}[n]]) : 0;"
                )
        numbers.append("return true;")
        arguments = "std::size_t first, int count"
        return [
            _function(
                f"bool enter_numbers(Rows &w, const std::array<const void *, INPUTS> &inputs, {arguments})", numbers
            ),
            _function(
                f"void enter_integers(Rows &w, const std::array<const std::int64_t *, INPUTS> &inputs, {arguments})",
                integers,
            ),
        ]

    def _compute(self) -> str:
        lines, place = [], None
        for instruction in self.program.instructions:
            if instruction.place != place:
                place = instruction.place
                lines.append(f"// {_text(place)}")
            lines.append(self._call(instruction))
        return _function("void compute(Rows &w)", lines or ["static_cast<void>(w);"])

    def _call(self, instruction: Instruction) -> str:
        rows, numbers, count = instruction.rows, instruction.numbers, instruction.out.size
        kinds = {name: self._kind(each) for name, each in rows.items()}
        (written, to), own = self._kind(instruction.out), _int(instruction.wide)
        out, given = self._rows(instruction.out), {name: self._rows(each) for name, each in rows.items()}
        if instruction.op == "quantize":
            types = [instruction.modes[0], instruction.modes[1], own, kinds["a"][0], written]
            tables = [self._small(numbers["up"]), self._small(numbers["down"])]
            # What lies beyond the type is beyond all data too.
            most = 2 ** (63 if instruction.wide else 31) - 1
            tables += [self._table(np.clip(numbers[name], -most - 1, most), own) for name in "pq"]
            return _called("quantize", types, [count, out, given["a"], *tables, kinds["a"][1], to])
        if instruction.op == "table":
            kind, where = kinds["a"]
            tables = [self._small(numbers["down"]), self._table(numbers["first"], kind)]
            tables += [self._table(numbers["start"], "std::int32_t"), self._table(numbers["entries"])]
            return _called("table", [], [count, out, given["a"], *tables, where, to])
        if instruction.op == "shift":
            kind, where = kinds["a"]
            places = self._small(numbers["places"])
            return _called("shift", [own, kind, written], [count, out, given["a"], places, where, to])
        if instruction.op == "linear":
            groups, height, columns = instruction.out.shape
            sizes = [groups, height, columns, rows["a"].shape[2], out, given["a"]]
            tables = [self._table(numbers[name], "std::int32_t") for name in ("start", "k")]
            return _called("linear", [own], [*sizes, *tables, self._table(numbers["weight"]), kinds["a"][1], to])
        if instruction.op == "products":
            sizes = [*instruction.out.shape, rows["a"].shape[2], out, given["a"], given["b"]]
            return _called("products", [own], [*sizes, kinds["a"][1], kinds["b"][1], to])
        zeros = np.zeros(count, dtype=np.int64)
        shifts = [self._small(numbers.get(f"up_{name}", zeros)) for name in "ab"]
        sources = [given["a"], shifts[0], given["b"], shifts[1]]
        if instruction.op == "select":
            types = [own, *(kinds[name][0] for name in "cab"), written]
            wheres = [kinds[name][1] for name in "cab"]
            return _called("select", types, [count, out, given["c"], *sources, *wheres, to])
        types = [NAMES[instruction.op], own, kinds["a"][0], kinds["b"][0], written]
        return _called("binary", types, [count, out, *sources, kinds["a"][1], kinds["b"][1], to])

    def _outputs(self) -> str:
        lines = []
        for number, ((rows, how), port) in enumerate(zip(self.program.outputs, self.emulator.outputs, strict=True)):
            size = rows.size
            lines.append(f"auto *y{number} = outputs[{number}] + first * {size};")
            steps = self._steps([element.f for element in port.elements])
            for test, field in (
                ((rows >= 0) & ~self.program.wide[rows], "narrow"),
                ((rows >= 0) & self.program.wide[rows], "wide"),
                (rows < 0, None),
            ):
                here = np.flatnonzero(test)
                if not here.size:
                    continue
                value = self._table(how[here], "std::int64_t")
                if field is not None:
                    value = f"(static_cast<std::int64_t>(w.{field}[{self._rows(rows[here])}[n]][s]) >> {value}[n])"
                else:
                    value = f"{value}[n]"
                places = self._table(here, "std::int32_t")
                lines.append(
                    f"for (int n = 0; n < {here.size}; n++)\n"
                    f"        for (int s = 0; s < count; s++)\n"
                    f"            y{number}[s * {size} + {places}[n]] = convert({value}, {steps}[{places}[n]]);"
                )
        head = (
            "template <class T, class Convert>\n"
            "inline void give(const Rows &w, const std::array<T *, OUTPUTS> &outputs, std::size_t first, int count, "
            "Convert convert)"
        )
        return _function(head, lines)

    def _steps(self, f: Sequence[int]) -> str:
        name = f"s{len(self.tables)}"
        self.tables.append(f"constexpr double {name}[] = {{{_wrapped([float(2.0**-bits).hex() for bits in f])}}};\n")
        return name


def _int(wide: bool) -> str:
    return "std::int64_t" if wide else "std::int32_t"


def _called(function: str, types: Iterable[str], arguments: Iterable[Any]) -> str:
    written = ", ".join(types)
    return f"hgq2::{function}{f'<{written}>' if written else ''}({', '.join(map(str, arguments))});"


def _function(head: str, lines: Iterable[str]) -> str:
    inline = head if head.startswith("template") else f"inline {head}"
    return f"{inline} {{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def _quoted(ports: Sequence[Port]) -> str:
    return ", ".join(_text(port.name) for port in ports)


def _text(name: str) -> str:
    """Return a name as a string of C, whatever characters it has."""
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}" for byte in name.encode())
    return f'"{"".join(plain)}"'


def _wrapped(items: Sequence[str]) -> str:
    """Return items in lines of a readable length."""
    lines, line = [], ""
    for item in items:
        if line and len(line) + len(item) + 2 > LINE:
            lines.append(line)
            line = ""
        line += f"{item}, "
    text = [*lines, line.rstrip(", ")]
    return text[0] if len(text) == 1 else "\n    " + "\n    ".join(each.rstrip() for each in text)
