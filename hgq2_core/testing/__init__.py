"""The conformance kit, with which a plugin checks whatever it offers in one line each."""

from hgq2_core.errors import ConformanceError
from hgq2_core.testing.adapters import adapter_checks, check_adapter
from hgq2_core.testing.callbacks import callback_checks, check_callback
from hgq2_core.testing.commands import check_command, command_checks
from hgq2_core.testing.compiled import (
    check_loss,
    check_metric,
    check_optimizer,
    check_schedule,
    loss_checks,
    metric_checks,
    optimizer_checks,
    schedule_checks,
)
from hgq2_core.testing.datasets import check_dataset, dataset_checks
from hgq2_core.testing.exporters import check_exporter, exporter_checks
from hgq2_core.testing.layers import check_layer, layer_checks
from hgq2_core.testing.parametrize import parametrize_with_checks
from hgq2_core.testing.quantizers import check_quantizer, quantizer_checks
from hgq2_core.testing.registered import registered
from hgq2_core.testing.rules import Check

__all__ = [
    "Check",
    "ConformanceError",
    "adapter_checks",
    "callback_checks",
    "check_adapter",
    "check_callback",
    "check_command",
    "check_dataset",
    "check_exporter",
    "check_layer",
    "check_loss",
    "check_metric",
    "check_optimizer",
    "check_quantizer",
    "check_schedule",
    "command_checks",
    "dataset_checks",
    "exporter_checks",
    "layer_checks",
    "loss_checks",
    "metric_checks",
    "optimizer_checks",
    "parametrize_with_checks",
    "quantizer_checks",
    "registered",
    "schedule_checks",
]
