import numpy as np
import pytest
from acme_quantizers import Levels
from acme_quantizers.worst_recall import WorstRecall

from hgq2_core.testing import check_command, check_layer, check_metric, check_quantizer


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


def test_worst_recall():
    check_metric({"kind": "acme.worst_recall", "classes": 4}, targets=[0, 1, 2, 3], outputs=np.eye(4))


def test_the_worst_of_two_classes():
    metric = WorstRecall(classes=3)  # of the third there is no sample
    metric.update_state(np.array([0, 0, 1, 1]), np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]))
    assert float(metric.result()) == 0.5


def test_the_command():
    check_command("acme.levels")
