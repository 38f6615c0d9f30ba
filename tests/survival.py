"""Whether the arguments of a layer survive its config."""

import keras

from hgq2_core import QLayer


def require_survival(layer, default, *arguments):
    """Require that arguments are kept, and that config and serialized form bring the layer back.

    Args:
        layer: made with other values of these arguments than `default`.
        default: a layer of the same class.
        arguments: the names.
    """
    config, others = layer.get_config(), default.get_config()
    assert [name for name in arguments if config[name] == others[name]] == []
    serialized = keras.saving.serialize_keras_object(layer)
    for again in (QLayer.from_config(config), keras.saving.deserialize_keras_object(serialized)):
        assert type(again) is type(layer)
        assert again.get_config() == config
