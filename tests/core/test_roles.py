"""Defaults by role and the scopes that change them."""

import asyncio
import copy
import threading
from contextvars import copy_context

import pytest

from hgq2_attention import QMultiHeadAttention
from hgq2_core import ConfigError, ModelConfig, defaults
from hgq2_core.quantizers.config import ROLES
from hgq2_core.quantizers.defaults import ROLE_DEFAULTS, resolve, role_default, scoped
from hgq2_core.quantizers.none import NoQuantizer
from hgq2_fixed_point import KBI, KIF, Binary
from hgq2_layers import QGRU, QDense


@pytest.fixture(autouse=True)
def no_scope_stays_open():
    assert scoped("weight") is None
    yield
    assert scoped("weight") is None


def test_every_role_has_a_default_that_its_kind_takes() -> None:
    assert set(ROLE_DEFAULTS) == set(ROLES)
    for role in ROLES:
        assert role_default(role).to_dict(only_set=True) == ROLE_DEFAULTS[role]


def test_the_order_is_slot_scope_role_class() -> None:
    with defaults(weight=KBI(b=6, i=0)):
        found = resolve(KBI(b=5), "weight")
    assert (found.config.b, found.sources["b"]) == (5, "slot")
    assert (found.config.i, found.sources["i"]) == (0, "scope")
    assert (found.config.b_regularizer, found.sources["b_regularizer"]) == (1e-8, "role")
    assert (found.config.i_decay, found.sources["i_decay"]) == (0.01, "class")
    assert set(found.sources) == set(KBI.model_fields)


def test_an_empty_slot_takes_the_scope_and_then_the_role() -> None:
    assert resolve(None, "weight").config.b == 8
    assert set(resolve(None, "activation").sources.values()) == {"role", "class"}
    with defaults(weight="kif"):
        found = resolve(None, "weight")
    assert type(found.config) is KIF
    assert set(found.sources.values()) == {"class"}


def test_a_scope_of_another_kind_fills_nothing() -> None:
    with defaults(weight=KIF(i=5, round_mode="TRN")):
        found = resolve(KBI(b=4), "weight")
    assert (found.config.i, found.sources["i"]) == (2, "role")
    assert found.config.round_mode == "RND"


def test_a_role_of_another_kind_fills_nothing() -> None:
    found = resolve(KIF(f=3), "weight")
    assert found.sources == {field: "slot" if field == "f" else "class" for field in KIF.model_fields}


def test_the_innermost_scope_with_an_entry_decides_alone() -> None:
    with defaults(weight=KBI(b=6, i=0), ebops_beta=1e-6), defaults(weight=KBI(b=4)), defaults(bias=KBI(b=3)):
        found = resolve(None, "weight")
        assert (found.config.b, found.sources["b"]) == (4, "scope")
        assert (found.config.i, found.sources["i"]) == (2, "role")
        assert scoped("ebops_beta") == 1e-6
    with defaults(ebops_beta=1e-6), defaults(ebops_beta=0.0):
        assert scoped("ebops_beta") == 0.0


def test_an_inner_scope_of_another_kind_hides_the_outer_one() -> None:
    with defaults(weight=KBI(i=0)), defaults(weight=KIF(f=2)):
        assert resolve(KBI(b=4), "weight").sources["i"] == "role"


def test_scopes_are_left_also_on_errors() -> None:
    with pytest.raises(ZeroDivisionError), defaults(weight=KBI(b=6)):
        raise ZeroDivisionError
    assert resolve(None, "weight").config.b == 8


def test_one_scope_object_can_be_entered_again_and_inside_itself() -> None:
    scope = defaults(weight=KBI(b=6))
    for _ in range(2):
        with scope:
            with defaults(weight=KBI(b=4)):
                with scope:
                    assert resolve(None, "weight").config.b == 6
                assert resolve(None, "weight").config.b == 4
            assert resolve(None, "weight").config.b == 6


def test_scopes_left_in_another_order_are_refused() -> None:
    outer, inner = defaults(weight=KBI(b=6)), defaults(weight=KBI(b=4))
    with outer, inner, pytest.raises(ConfigError, match="left in the order in which they were entered"):
        outer.__exit__(None, None, None)


def test_threads_do_not_see_each_other() -> None:
    both = threading.Barrier(2)
    seen: dict[float, tuple[float, float]] = {}

    def work(bits: float) -> None:
        both.wait()
        before = resolve(None, "weight").config.b
        with defaults(weight=KBI(b=bits)):
            both.wait()
            seen[bits] = before, resolve(None, "weight").config.b
            both.wait()

    with defaults(weight=KBI(b=7)):
        threads = [threading.Thread(target=work, args=(bits,)) for bits in (3.0, 5.0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert resolve(None, "weight").config.b == 7
    assert seen == {3.0: (8.0, 3.0), 5.0: (8.0, 5.0)}


def test_tasks_inherit_but_do_not_see_each_other() -> None:
    async def work(bits: float) -> tuple[float, float, float]:
        before = resolve(None, "weight").config.b
        with defaults(weight=KBI(b=bits)):
            await asyncio.sleep(0)
            inside = resolve(None, "weight").config.b
            await asyncio.sleep(0)
        return before, inside, resolve(None, "weight").config.b

    async def both() -> list[tuple[float, float, float]]:
        with defaults(weight=KBI(b=7)):
            return await asyncio.gather(work(3.0), work(5.0))

    assert asyncio.run(both()) == [(7.0, 3.0, 7.0), (7.0, 5.0, 7.0)]


def test_unknown_keys_are_errors() -> None:
    with pytest.raises(ConfigError) as caught:
        defaults(wieght=KBI(b=6))
    assert str(caught.value) == (
        "defaults: unknown field 'wieght'. Allowed: activation, bias, ebops_beta, enable_ebops, "
        "input_quantizers, output_quantizers, state_quantizers, table, weight. "
        "Did you mean 'weight'?"
    )


def test_wrong_values_are_errors_with_their_place() -> None:
    with pytest.raises(ConfigError, match=r"^defaults: weight\.b: must be a number, .* Received: '6' \(str\)\.$"):
        defaults(weight={"kind": "kbi", "b": "6"})


def test_an_unknown_role() -> None:
    with pytest.raises(ConfigError, match=r"^hidden\.x: unknown role\. Received: 'wieght'\. Allowed: weight, bias,"):
        resolve(None, "wieght", "hidden.x")  # type: ignore[arg-type]


def test_fields_that_do_not_go_together_name_the_slot() -> None:
    with defaults(weight=KBI(b_bounds=[0, 3], b=2)), pytest.raises(ConfigError) as caught:
        resolve(KBI(b=6), "weight", "hidden.kernel")
    assert str(caught.value) == "hidden.kernel: b must lie within b_bounds=[0.0, 3.0]. Received: b=6.0."


def test_what_is_passed_in_is_never_changed() -> None:
    mapping = {"kind": "kbi", "b": 5, "granularity": [0]}
    given, entry, before = KBI(b=5), KBI(i=1), copy.deepcopy(mapping)
    roles = copy.deepcopy(ROLE_DEFAULTS)
    with defaults(weight=entry, bias=mapping):
        resolve(given, "weight")
        resolve(None, "bias")
    assert mapping == before
    assert given.model_fields_set == {"b"} and entry.model_fields_set == {"i"}
    assert roles == ROLE_DEFAULTS


def test_a_config_made_in_python_names_its_class() -> None:
    with pytest.raises(ConfigError, match=r"^KBI: b: must be a finite number\. Received: nan \(float\)\.$"):
        KBI(b=float("nan"))


def test_a_scope_switches_the_slots_that_layers_leave_unset() -> None:
    with defaults(output_quantizers=True, input_quantizers=False, activation=KIF(f=3)):
        layer = QDense(2)
        with defaults(output_quantizers=False, input_quantizers=True):
            inner = QDense(2)
        given = QDense(2, input_quantizer=KIF(f=1), output_quantizer=KIF(f=2))
    assert isinstance(layer.input_quantizer.config, NoQuantizer)
    assert layer.output_quantizer.config.f == 3.0
    assert layer.sources("output")["f"] == "scope"
    assert inner.output_quantizer is None
    assert inner.input_quantizer.config.f == 3.0
    assert (given.input_quantizer.config.f, given.output_quantizer.config.f) == (1.0, 2.0)


def test_a_switch_may_be_a_quantizer() -> None:
    with defaults(state_quantizers=KIF(f=2, overflow_mode="SAT"), output_quantizers="binary"):
        layer = QGRU(2)
    assert layer.state_quantizer.config.overflow_mode == "SAT"
    assert layer.output_quantizer.config == Binary()


def test_what_a_file_says_is_not_switched() -> None:
    config = QDense(2).get_config()
    with defaults(output_quantizers=True):
        assert QDense.from_config(config).output_quantizer is None


def test_the_parts_of_a_layer_are_not_switched() -> None:
    with defaults(output_quantizers=True):
        layer = QMultiHeadAttention(2, 3)
    assert layer.output_quantizer is not None
    assert layer.query_projection.output_quantizer is None


def test_a_scope_may_hold_for_good() -> None:
    def overridden() -> None:
        defaults(ebops_beta=0.5).override()
        assert QDense(2).get_config()["ebops_beta"] == 0.5

    copy_context().run(overridden)  # for good in this context alone, which the test leaves
    assert QDense(2).get_config()["ebops_beta"] != 0.5


def test_switches_in_a_config_file() -> None:
    document = {
        "defaults": {"output_quantizers": {"kind": "kif", "f": 2}},
        "model": {"inputs": {"x": {"shape": [3]}}, "layers": [{"kind": "dense", "units": 2}]},
    }
    (_, layer) = ModelConfig.parse(document).build().layers
    assert layer.output_quantizer.config.f == 2.0
