"""Arithmetic: where a processor has no instructions for bf16, networks that were to be trained in it are in fp32."""

from __future__ import annotations

import platform

import torch

_X86 = frozenset({"x86_64", "AMD64"})


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Return whether networks of this precision run under bf16 autocast on the device.

    oneDNN takes bf16 on any processor with AVX2, but without instructions for it a convolution and its way back take
    three to four times as long as in fp32 (measured with its instructions cut down to AVX-512 and to AVX2: 85 and 165
    ms instead of 29 and 41, where this processor's own are 19 and 32 ms).
    """
    return precision == "bf16" and (device.type != "cpu" or has_instructions())


def has_instructions() -> bool:
    """Return whether this machine's processor multiplies bf16 by itself: AVX512_BF16, AMX, or Arm's BF16."""
    if platform.machine() in _X86:
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
