"""The device that was asked for, or none."""

from __future__ import annotations

import pytest
import torch

from hpc_sweep.errors import UserError
from hpc_sweep.training import device, threads


def test_cpu_is_cpu():
    """The name is taken at its word."""
    assert device.choose("cpu") == torch.device("cpu")
    assert device.describe(torch.device("cpu")) == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU, so cuda is no mistake here")
def test_cuda_without_a_gpu_is_refused():
    """Whoever asks for a GPU never trains on a CPU unknowingly."""
    with pytest.raises(UserError, match="device=auto"):
        device.choose("cuda")


def test_auto_takes_a_gpu_where_there_is_one():
    """Auto is the only name that may choose."""
    assert device.choose("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_an_unknown_device_is_refused_with_the_known_ones():
    """A typing mistake shows what can be typed."""
    with pytest.raises(UserError, match="device=auto, device=cpu, device=cuda"):
        device.choose("gpu")


def test_threads_are_as_many_as_granted():
    """Torch uses the number that the scheduler granted, and says so."""
    before = torch.get_num_threads()
    try:
        assert threads.limit(2) == 2
        assert threads.limit(1) == 1
    finally:
        torch.set_num_threads(before)
