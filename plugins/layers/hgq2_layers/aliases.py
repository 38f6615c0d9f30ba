"""The second names that Keras' layers have, for the quantized ones."""

from collections.abc import Mapping

from hgq2_layers import plugin

_SECOND = {
    "QAveragePooling": "QAvgPool",
    "QConv": "QConvolution",
    "QGlobalAveragePooling": "QGlobalAvgPool",
    "QGlobalMaxPooling": "QGlobalMaxPool",
    "QMaxPooling": "QMaxPool",
    "QSeparableConv": "QSeparableConvolution",
}


def aliases() -> Mapping[str, str]:
    """Return second name to `module:name`, such as `QMaxPool2D` for `QMaxPooling2D`."""
    kinds = [spec for kind, spec in plugin.hgq2_layers().items() if not kind.startswith("keras.")]
    return {
        f"{second}{rank}D{suffix}": spec
        for spec in kinds
        for first, second in _SECOND.items()
        for rank in (1, 2, 3)
        for suffix in ("", "Transpose")
        if spec.endswith(f":{first}{rank}D{suffix}")
    }
