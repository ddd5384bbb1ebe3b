"""Pooling, resizing and padding of maps."""

from __future__ import annotations

from .builder import Builder
from .registry import step


@step("pools")
def pool(b: Builder):
    x = b.pick((3, 4, 5))
    n, kernel = x.rank - 2, b.choose(2, 3)
    stride, padding = b.choose(1, 2, 2, 3), b.choose(0, 0, 1)
    ceil = b.chance(0.3)
    if b.chance(0.5):
        dilation = b.choose(1, 1, 2)
        b.call(
            f"F.max_pool{n}d({x.name}, {kernel}, {stride}, {padding}, dilation={dilation}, "
            f"ceil_mode={ceil})",
            x,
        )
        return
    include = b.chance(0.5)
    more = f", divisor_override={b.choose(2, 5)}" if n > 1 and b.chance(0.2) else ""
    b.call(
        f"F.avg_pool{n}d({x.name}, {kernel}, {stride}, {padding}, ceil_mode={ceil}, "
        f"count_include_pad={include}{more})",
        x,
    )


@step("pools")
def adaptive_pool(b: Builder):
    x = b.pick((3, 4, 5))
    n = x.rank - 2
    size = b.choose(1, 1, 2, 3)
    b.call(f"F.adaptive_{b.choose('avg', 'avg', 'max')}_pool{n}d({x.name}, {size})", x)


@step("pools")
def global_pool(b: Builder):
    x = b.pick(4)
    n = x.name
    b.call(
        b.choose(
            f"{n}.mean((2, 3))",
            f"{n}.mean([-1, -2], keepdim=True)",
            f"{n}.flatten(2).mean(-1)",
            f"{n}.amax((2, 3))",
            f"F.adaptive_avg_pool2d({n}, 1).flatten(1)",
            f"{n}.mean(3).mean(2)",
        ),
        x,
    )


@step("pools")
def resize(b: Builder):
    x = b.pick((3, 4), lambda v: v.tensors[0].numel() < 3000)
    modes = ["nearest", "nearest-exact", "linear" if x.rank == 3 else "bilinear"]
    mode = b.choose(*modes, "bicubic") if x.rank == 4 else b.choose(*modes)
    size = b.choose("scale_factor=2", "scale_factor=0.5", "scale_factor=1.5", "size=5", "size=7")
    corners = ""
    if "nearest" not in mode:
        corners = f", align_corners={b.chance(0.5)}"
        if x.rank == 4 and "True" not in corners and b.chance(0.2):
            corners += ", antialias=True"
    b.call(f"F.interpolate({x.name}, {size}, mode='{mode}'{corners})", x)


@step("pools")
def resize_like(b: Builder):
    x = b.pick(4)
    y = b.pick(4)
    how = b.choose("mode='nearest'", "mode='bilinear', align_corners=False")
    b.call(f"F.interpolate({x.name}, size={y.name}.shape[-2:], {how})", x, y)


@step("pools")
def pad(b: Builder):
    x = b.pick((3, 4))
    amounts = [b.choose(0, 1, 2) for _ in range(2 * (x.rank - 2))]
    mode = b.choose("constant", "constant", "reflect", "replicate", "circular")
    if mode == "constant":
        amounts = [b.choose(0, 1, 2, -1) for _ in range(b.choose(2, 2 * (x.rank - 2)))]
    value = f", value={b.number(-1, 1)}" if mode == "constant" and b.chance(0.5) else ""
    b.call(f"F.pad({x.name}, {tuple(amounts)}, mode='{mode}'{value})", x)


@step("pools")
def lp_pool(b: Builder):
    x = b.pick(4)
    b.call(f"F.lp_pool2d({x.name}.abs() + 0.1, {b.choose(1, 2)}, {b.choose(2, 3)})", x)


@step("pools")
def unfold(b: Builder):
    x = b.pick(4, lambda v: v.tensors[0].numel() < 1500)
    kernel, stride = b.choose(2, 3), b.choose(1, 2)
    b.call(f"F.unfold({x.name}, {kernel}, padding={b.choose(0, 1)}, stride={stride})", x)


@step("pools")
def sample(b: Builder):
    """Look a map up where a layer says."""
    x = b.pick(4)
    name = b.fresh("m")
    init = [f"self.{name} = nn.Conv2d({b.channels(x, 1)}, 2, 3, padding=1)"]
    mode = b.choose("bilinear", "nearest")
    edge = b.choose("zeros", "border")
    grid = f"torch.tanh(self.{name}({x.name})).permute(0, 2, 3, 1)"
    corners = b.chance(0.5)
    b.call(
        f"F.grid_sample({x.name}, {grid}, mode='{mode}', padding_mode='{edge}', "
        f"align_corners={corners})",
        x,
        init=init,
    )


@step("pools")
def max_pool_places(b: Builder):
    x = b.pick(4)
    b.block([f"{{0}}, {{1}} = F.max_pool2d({x.name}, 2, return_indices=True)"], [x], makes=2)
