"""Sampling of volumes at points: what ONNX has for images only before opset 20."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
_LINEAR, _NEAREST = 0, 1
_ZEROS, _BORDER = 0, 1


def grid_sampler_3d(
    input: Tensor,
    grid: Tensor,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
) -> Tensor:
    """Sample [N, C, D, H, W] at points [N, d, h, w, 3] of (x, y, z) in [-1, 1]: [N, C, d, h, w]."""
    sizes = tuple(reversed(input.shape[2:]))
    points = [
        _placed(point, size, padding_mode, align_corners)
        for point, size in zip(grid.unbind(-1), sizes, strict=True)
    ]
    if interpolation_mode == _NEAREST:
        return _read(input, [torch.round(point) for point in points], sizes, padding_mode)
    floors = [torch.floor(point) for point in points]
    parts = [point - floor for point, floor in zip(points, floors, strict=True)]
    total: Tensor | None = None
    for corner in itertools.product((0, 1), repeat=3):
        weight = torch.ones_like(parts[0])
        for upper, part in zip(corner, parts, strict=True):
            weight = weight * (part if upper else 1.0 - part)
        places = [floor + upper for floor, upper in zip(floors, corner, strict=True)]
        value = _read(input, places, sizes, padding_mode) * weight.unsqueeze(1)
        total = value if total is None else total + value
    assert total is not None
    return total


def _placed(point: Tensor, size: Any, padding: int, aligned: bool) -> Any:
    """Return where a point of [-1, 1] lies, counted in voxels from the middle of the first."""
    from_edge = point + 1.0
    place = from_edge * 0.5 * (size - 1) if aligned else (from_edge * size - 1.0) * 0.5
    if padding == _ZEROS:
        return place
    if padding == _BORDER:
        return place.clamp(min=0.0).minimum(torch.ones_like(place) * (size - 1))
    low, span = (0.0, size - 1) if aligned else (-0.5, size)
    # Back and forth between both ends; a single voxel has nowhere to go.
    away = (place - low).abs()
    turns = torch.floor(away / max(span, 1) if isinstance(span, int) else away / span)
    rest = away - turns * span
    odd = turns - 2.0 * torch.floor(turns * 0.5)
    inside = torch.where(odd > 0, span - rest, rest) + low
    return inside.clamp(min=0.0).minimum(torch.ones_like(place) * (size - 1))


def _read(volume: Tensor, places: list[Tensor], sizes: tuple[Any, ...], padding: int) -> Tensor:
    """Return the voxels at whole numbers of (x, y, z), 0 for those outside."""
    width, height, _ = sizes
    inside, whole = torch.ones_like(places[0], dtype=torch.bool), []
    for place, size in zip(places, sizes, strict=True):
        inside = inside & (place >= 0) & (place <= size - 1)
        whole.append(torch.where((place >= 0) & (place <= size - 1), place, 0.0).to(torch.int64))
    x, y, z = whole
    index = ((z * height + y) * width + x).flatten(1).unsqueeze(1)
    flat = volume.flatten(2)
    found = torch.gather(flat, 2, index.expand(-1, volume.shape[1], -1))
    found = found.reshape((*volume.shape[:2], *places[0].shape[1:]))
    return torch.where(inside.unsqueeze(1), found, 0.0) if padding == _ZEROS else found


VOLUMES: dict[Any, Callable[..., Any]] = {aten.grid_sampler_3d.default: grid_sampler_3d}
