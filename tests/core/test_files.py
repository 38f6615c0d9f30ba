import json
import math
from pathlib import Path

import pytest

from hgq2_core.config.json_document import parse_json
from hgq2_core.config.reader import MAX_BYTES, read_document
from hgq2_core.config.yaml_document import parse_yaml
from hgq2_core.errors import ConfigError


def yaml_error(text):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml")
    return str(caught.value)


def json_error(text):
    with pytest.raises(ConfigError) as caught:
        parse_json(text, "f.json")
    return str(caught.value)


def file_error(path):
    with pytest.raises(ConfigError) as caught:
        read_document(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1.0e-6", 1.0e-6),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("3.", 3.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("12", 12),
        ("-7", -7),
        ("+7", 7),
        ("010", 10),
        ("0o17", 15),
        ("0xfF", 255),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("off", "off"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2020-01-01", "2020-01-01"),
        ("0b11", "0b11"),
        ("=", "="),
        (".", "."),
        ("e5", "e5"),
        ("1e", "1e"),
        ("inf", "inf"),
        ("'12'", "12"),
        ('"null"', "null"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("!!float 1", 1.0),
    ],
)
def test_yaml_scalars_follow_the_core_schema(text, value):
    result = parse_yaml(f"a: {text}", "f.yaml")["a"]
    assert result == value
    assert type(result) is type(value)


def test_yaml_nan():
    assert math.isnan(parse_yaml("a: .nan", "f.yaml")["a"])


def test_yaml_collections():
    text = "a: [1, {b: 2}]\nc:\n  - d\n  - {}\ne: !!map {f: !!seq []}\n"
    assert parse_yaml(text, "f.yaml") == {"a": [1, {"b": 2}], "c": ["d", {}], "e": {"f": []}}


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "null"])
def test_yaml_of_nothing_is_none(text):
    assert parse_yaml(text, "f.yaml") is None


def test_yaml_reads_a_single_value():
    assert parse_yaml("1e-5", "--set") == 1e-5


def test_yaml_duplicate_key():
    message = "f.yaml:3:1: key 'a' is given twice, first at line 1, column 1; keep one"
    assert yaml_error("a: 1\nb: 2\na: 3\n") == message


def test_yaml_duplicate_key_in_a_flow_mapping():
    assert yaml_error("x: {a: 1, 'a': 2}").startswith("f.yaml:1:11: key 'a' is given twice, first at line 1, column 5")


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("5", "5 is a int"),
        ("1.5", "1.5 is a float"),
        ("true", "True is a bool"),
        ("null", "null is a NoneType"),
        ("[a]", "['a'] is a list"),
    ],
)
def test_yaml_key_that_is_not_text(key, shown):
    assert yaml_error(f"a:\n  ? {key}\n  : b") == f"f.yaml:2:5: key {shown}, not text; put it in quotes"


def test_yaml_merge_key():
    message = "f.yaml:2:5: merge keys (<<) are not supported; write the keys out"
    assert yaml_error("a: &x {k: 1}\nb: {<<: *x}") == message
    assert parse_yaml("'<<': 1", "f.yaml") == {"<<": 1}


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("!!python/object/apply:os.system ['true']", "!!python/object/apply:os.system"),
        ("!!python/name:os.system", "!!python/name:os.system"),
        ("!!binary aGk=", "!!binary"),
        ("!mine 1", "!mine"),
        ("!!str [1]", "!!str"),
        ("!!seq {a: 1}", "!!seq"),
    ],
)
def test_yaml_tag(value, tag):
    assert yaml_error(f"a: {value}") == f"f.yaml:1:4: tag {tag} is not allowed; a configuration is plain data"


def test_yaml_tag_that_does_not_fit_its_value():
    assert yaml_error("a: !!int five") == "f.yaml:1:4: 'five' is not a int"


def test_yaml_integer_of_too_many_digits():
    assert "is not a int" in yaml_error("a: " + "9" * 5000)


def test_yaml_alias_gives_a_copy():
    document = parse_yaml("a: &x {k: [1]}\nb: *x\n", "f.yaml")
    document["a"]["k"].append(2)
    assert document["b"] == {"k": [1]}


def test_yaml_alias_without_anchor():
    assert yaml_error("a: *x") == "f.yaml:1:4: alias *x has no finished anchor &x before it"


def test_yaml_alias_inside_its_own_anchor():
    assert yaml_error("a: &x [*x]") == "f.yaml:1:8: alias *x has no finished anchor &x before it"


def test_yaml_number_of_aliases():
    assert len(parse_yaml("a: &x 1\nb: [" + "*x, " * 100 + "]", "f.yaml")["b"]) == 100
    message = yaml_error("a: &x 1\nb: [" + "*x, " * 101 + "]")
    assert message == "f.yaml:2:405: more than 100 aliases; write the values out"


def test_yaml_expansion_bomb():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 9)]
    assert yaml_error("\n".join(lines)).endswith("aliases repeat more than 10000 values; write fewer")


def test_yaml_depth():
    assert parse_yaml("[" * 64 + "]" * 64, "f.yaml")
    assert yaml_error("[" * 65 + "]" * 65) == "f.yaml:1:65: nested deeper than 64 levels"
    assert yaml_error("[" * 50_000) == "f.yaml:1:65: nested deeper than 64 levels"


def test_yaml_depth_counts_what_an_alias_repeats():
    def text(levels):
        return "- &x " + "[" * 32 + "]" * 32 + "\n- " + "[" * levels + "*x" + "]" * levels

    assert parse_yaml(text(31), "f.yaml")
    assert yaml_error(text(32)) == "f.yaml:2:35: nested deeper than 64 levels"


def test_yaml_second_document():
    assert yaml_error("a: 1\n---\nb: 2\n") == "f.yaml:2:1: a second document starts here; a file holds one"


def test_yaml_syntax():
    assert yaml_error("a: [1,\n").startswith("f.yaml:2:1: while parsing a flow node")
    assert yaml_error("a:\n\tb: 1").startswith("f.yaml:2:1: ")


def test_yaml_control_character():
    message = yaml_error("a: 1\nb: \x07")
    assert message == "f.yaml:2:4: character U+0007 is not allowed; remove it, or write it as an escape"


def test_half_a_character():
    assert yaml_error(r'a: "\ud800"').startswith("f.yaml:1:4: the text holds half of a character")
    assert json_error(r'{"a": "\ud800"}').startswith("f.json:1:7: the text holds half of a character")
    assert parse_json(r'{"a": "\ud83d\ude00"}', "f.json") == {"a": "\U0001f600"}


@pytest.mark.parametrize(
    "value",
    [{"a": [1, 2.5, "x", None, True, {"b": {}}, []], "c": '\t"\\é'}, [], 1e-5, "text"],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_what_the_standard_library_wrote(value, indent):
    assert parse_json(json.dumps(value, indent=indent), "f.json") == value


def test_json_takes_the_numbers_that_yaml_takes():
    value = parse_json("[NaN, Infinity, -Infinity]", "f.json")
    assert math.isnan(value[0])
    assert value[1:] == [math.inf, -math.inf]


def test_json_duplicate_key():
    message = "f.json:2:2: key 'a' is given twice, first at line 1, column 2; keep one"
    assert json_error('{"a": 1,\n "a": 2}') == message


def test_json_depth():
    assert parse_json("[" * 64 + "]" * 64, "f.json")
    assert json_error("[" * 50_000) == "f.json:1:65: nested deeper than 64 levels"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,}', "f.json:1:9: expected a key in double quotes"),
        ("{a: 1}", "f.json:1:2: expected a key in double quotes"),
        ('{"a" 1}', "f.json:1:6: expected ':', got '1'"),
        ('{"a": 1', "f.json:1:8: expected ',' or '}', got 'the end of the document'"),
        ("[1 2]", "f.json:1:4: expected ',' or ']', got '2'"),
        ('{"a":\n tru}', "f.json:2:2: expecting value"),
        ("{} {}", "f.json:1:4: text after the end of the document"),
        ('{"a": 1} # x', "f.json:1:10: text after the end of the document"),
        ("[" + "9" * 5000 + "]", "f.json:1:2: an integer of too many digits"),
    ],
)
def test_json_syntax(text, message):
    assert json_error(text) == message


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "b: 1e-5"), ("a.yml", "b: 1e-5"), ("a.JSON", '{"b": 1e-5}')])
def test_read(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_document(path) == {"b": 1e-5}
    assert read_document(str(path)) == {"b": 1e-5}


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
def test_read_a_byte_order_mark(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b'\xef\xbb\xbf{"b": 1}')
    assert read_document(path) == {"b": 1}


def test_file_missing(tmp_path):
    path = tmp_path / "a.yaml"
    assert file_error(path) == f"{path}: no such file; check the path, it is taken from {Path.cwd()}"


def test_file_is_a_directory(tmp_path):
    assert file_error(tmp_path).startswith(f"{tmp_path}: is a directory; give the file in it, for example ")


def test_file_suffix(tmp_path):
    path = tmp_path / "a.toml"
    path.touch()
    assert file_error(path) == f"{path}: unknown suffix '.toml'; allowed: .yaml, .yml, .json"


def test_file_not_readable(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.yaml"
    path.touch()
    monkeypatch.setattr(Path, "open", refuse)
    assert file_error(path) == f"{path}: cannot be read (Permission denied); check its permissions"


def test_file_not_utf8(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes("a: 1\nb: é".encode("latin-1"))
    assert file_error(path) == f"{path}:2:4: is not UTF-8; save the file in that encoding"


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
def test_file_empty(tmp_path, name):
    path = tmp_path / name
    path.write_text("\n")
    assert file_error(path).startswith(f"{path}: the document is empty; write at least `model:`")


def test_file_that_holds_a_list(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("- a\n")
    assert file_error(path).startswith(f"{path}:1:1: the top of the document is a list; it must be a mapping")


def test_file_size(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": 1}'.ljust(MAX_BYTES))
    assert read_document(path) == {"a": 1}
    path.write_bytes(b'{"a": 1}'.ljust(MAX_BYTES + 1))
    message = f"{path}: is larger than 1000000 bytes; a configuration holds settings, not data"
    assert file_error(path) == message


def test_errors_inside_a_file_name_it(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\na: 2\n")
    assert file_error(path).startswith(f"{path}:2:1: key 'a' is given twice")
