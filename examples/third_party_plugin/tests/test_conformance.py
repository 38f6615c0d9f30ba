import pytest
from acme_quantizers import Levels

from hgq2_core.testing import check_command, check_layer, check_quantizer


@pytest.mark.parametrize(
    "config",
    [Levels(), Levels(n=1, step_exponent=0), Levels(n=3, granularity="channel"), Levels(trainable=False)],
    ids=str,
)
def test_levels(config):
    check_quantizer(config)


def test_layer_scale():
    check_layer({"kind": "acme.layer_scale"}, (4,))
    check_layer({"kind": "acme.layer_scale", "scale_quantizer": {"kind": "levels", "n": 2}}, (3, 4))


def test_the_command():
    check_command("acme.levels")
