"""The names that an emulator can have in C++, in Python and among the files beside it."""

from __future__ import annotations

import keyword
import re
import sys
from importlib import resources

from hgq2_core.schema.base import validation_error

KEYWORDS = frozenset({
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch",
    "char", "char16_t", "char32_t", "char8_t", "class", "co_await", "co_return", "co_yield", "compl", "concept",
    "const", "const_cast", "consteval", "constexpr", "constinit", "continue", "decltype", "default", "delete", "do",
    "double", "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float", "for", "friend",
    "goto", "if", "inline", "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr",
    "operator", "or", "or_eq", "private", "protected", "public", "register", "reinterpret_cast", "requires",
    "restrict", "return", "short", "signed", "sizeof", "static", "static_assert", "static_cast", "struct", "switch",
    "template", "this", "thread_local", "throw", "true", "try", "typedef", "typeid", "typename", "union",
    "unsigned", "using", "virtual", "void", "volatile", "wchar_t", "while", "xor", "xor_eq",
})  # fmt: skip
"""Of C++20 and C."""

HEADERS = ("hgq2_rows.h", "hgq2_host.h")
DECLARED = re.compile(
    r"^(?:template <[^>]*> )?(?:bool|constexpr|inline|struct|using|void) [^(={]*?(\w+) ?[(={]", re.MULTILINE
)


def _declared() -> frozenset[str]:
    """Return what the headers declare in the namespace that holds the one of the model."""
    runtime = resources.files("hgq2_cpp.runtime")
    texts = ((runtime / file).read_text(encoding="utf-8") for file in HEADERS)
    return frozenset(name for text in texts for name in DECLARED.findall(text))


OWN = _declared() | {"hgq2", "hgq2_host", "hgq2_rows", "host_quantize", "std"}
"""Namespaces that the code uses, what it declares, and headers beside it."""

MACROS = frozenset({"linux", "unix"})
"""Of GNU's dialects of C++; what else is a macro somewhere, the code itself refuses where it is compiled."""

REASONS = (
    (KEYWORDS, "a keyword of C++"),
    (OWN, "a name in the code or beside it"),
    (MACROS, "a macro of some compilers"),
    (frozenset(keyword.kwlist), "a keyword of Python"),
    (sys.stdlib_module_names | {"numpy"}, "a module that Python's loader imports, or could"),
)


def check_name(name: str) -> str:
    """Return a name that code and files of an emulator can have; for a validator."""
    for names, reason in REASONS:
        if name in names:
            raise validation_error(f"is {reason}. Received: {name!r}. Allowed: another name, such as 'trigger'.")
    return name
