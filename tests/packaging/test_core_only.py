"""The core with one plugin of somebody else: Python works from training to a saved model, and needs nothing of ours."""

import os
import tomllib
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_plugin"

pytestmark = pytest.mark.once

SCRIPT = """
    import json, sys
    import hgq2_core, keras, numpy as np
    from acme_quantizers.layer_scale import QLayerScale
    from acme_quantizers.levels import Levels

    levels = dict.fromkeys(("weight", "bias", "activation", "table"), Levels())
    with hgq2_core.defaults(**levels):
        model = keras.Sequential([keras.Input((4,)), QLayerScale()])
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    model.compile("adam", "mse")
    model.fit(x, 0.5 * x, epochs=1, verbose=0)
    hgq2_core.calibrate(model, x)
    report = hgq2_core.verify(model, x)
    model.save("model.keras")
    again = hgq2_core.load_model("model.keras")
    same = bool((again.predict(x, verbose=0) == model.predict(x, verbose=0)).all())
    ours = sorted(name for name in sys.modules if name.startswith("hgq2_") and "." not in name)
    print(json.dumps([report.mismatches, hgq2_core.ebops(model) > 0, same, ours]))
"""


@pytest.mark.slow
def test_it_trains_calibrates_verifies_saves_and_loads(fresh_python, tmp_path):
    folder = tmp_path / "site" / "acme_quantizers-1.0.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-quantizers\nVersion: 1.0.0\n")
    (folder / "entry_points.txt").write_text("[hgq2.plugins]\nacme = acme_quantizers.plugin\n")
    path = os.pathsep.join(filter(None, [str(folder.parent), str(EXAMPLE), os.environ.get("PYTHONPATH")]))
    found = fresh_python(SCRIPT, HGQ2_PLUGINS="acme", PYTHONPATH=path)
    assert found == [0, True, True, ["hgq2_core"]]


def test_it_needs_neither_a_plotting_library_nor_locks():
    project = tomllib.loads((EXAMPLE.parents[1] / "pyproject.toml").read_text())["project"]
    needed = " ".join(project["dependencies"])
    assert "matplotlib" not in needed and "filelock" not in needed
    assert project["optional-dependencies"]["plots"] == ["matplotlib>=3.9"]


def test_the_module_paths_that_plugins_of_before_import_still_work(fresh_python):
    script = """
        import json
        from hgq2_core.arguments import INITIALIZERS, BetaArg, InitializerArg, LayerKwargs, QuantizerArg
        from hgq2_core.config.quantizer import Granularity, Slot
        from hgq2_core.exact.arrays import Arrays
        from hgq2_core.layers import arguments
        from hgq2_core.quantizers import config
        print(json.dumps([INITIALIZERS is arguments.INITIALIZERS, Slot is config.Slot]))
    """
    assert fresh_python(script) == [True, True]
