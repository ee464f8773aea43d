"""Where the networks learn: on the CPU or on a GPU. The physics stays on the CPUs."""

from __future__ import annotations

import os
from typing import Literal

import torch

from wildrobot.core.errors import UserError

Device = Literal["auto", "cpu", "cuda"]


def learning_device(device: Device) -> torch.device:
    """The device meant; of several GPUs each of this machine's processes takes its own.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError(
            f"--device cuda: PyTorch {torch.__version__} finds no GPU here. Install a CUDA build of it and a driver, "
            "or train on the CPU (--device cpu)."
        )
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
