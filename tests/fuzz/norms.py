"""Norms of all kinds, in odd places."""

from __future__ import annotations

from .builder import Builder, Skip
from .registry import step


@step("norms")
def batch_norm(b: Builder):
    x = b.pick((2, 3, 4, 5))
    n = max(1, x.rank - 2)
    affine, momentum = b.chance(0.8), b.choose(0.1, "None")
    b.layer(
        f"nn.BatchNorm{n}d({b.channels(x, 1)}, eps={b.choose(1e-5, 1e-3)}, affine={affine}, "
        f"momentum={momentum})",
        x,
    )


@step("norms")
def conv_and_batch_norm(b: Builder):
    x = b.pick((3, 4, 5))
    n, channels = x.rank - 2, b.channels(x, 1)
    act = b.choose("ReLU()", "SiLU()", "Hardswish()", "PReLU(6)", "Identity()", "LeakyReLU(0.1)")
    norm, conv = f"nn.BatchNorm{n}d(6)", f"nn.Conv{n}d({channels}, 6, 3, padding=1, bias=False)"
    order = b.choose(
        f"{conv}, {norm}, nn.{act}",
        f"{conv}, nn.{act}, {norm}",
        f"nn.BatchNorm{n}d({channels}), {conv}, nn.{act}",
        f"nn.BatchNorm{n}d({channels}), nn.ReLU(), {conv}",
        f"nn.ConvTranspose{n}d({channels}, 6, 2, stride=2), {norm}",
        f"{conv}, {norm}, {norm}",
    )
    b.layer(f"nn.Sequential({order})", x)


@step("norms")
def linear_and_batch_norm(b: Builder):
    x = b.pick(2)
    width = b.channels(x, 1)
    order = b.choose(
        f"nn.Linear({width}, 6), nn.BatchNorm1d(6), nn.ReLU()",
        f"nn.BatchNorm1d({width}), nn.Linear({width}, 6)",
        f"nn.Linear({width}, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 4)",
    )
    b.layer(f"nn.Sequential({order})", x)


@step("norms")
def functional_batch_norm(b: Builder):
    """Statistics by hand, without the module; some of them constants."""
    x = b.pick((3, 4))
    c, name = b.channels(x, 1), b.fresh("s")
    init = [
        f'self.register_buffer("{name}", torch.linspace(-0.5, 0.5, {c}))',
        f'self.register_buffer("{name}v", torch.linspace(0.5, 2, {c}))',
    ]
    given = f"{x.name}, self.{name}, self.{name}v"
    b.call(f"F.batch_norm({given}, eps={b.choose(1e-5, 1e-2)})", x, init=init)


@step("norms")
def affine_by_hand(b: Builder):
    """A batch norm as a model author writes it: minus the mean, over the deviation."""
    x = b.pick(4)
    c, name = b.channels(x, 1), b.fresh("s")
    init = [
        f'self.register_buffer("{name}", torch.linspace(-0.5, 0.5, {c}).view(1, -1, 1, 1))',
        f'self.register_buffer("{name}v", torch.linspace(0.5, 2, {c}).view(1, -1, 1, 1))',
    ]
    code = b.choose(
        f"({x.name} - self.{name}) / self.{name}v",
        f"({x.name} - self.{name}) * self.{name}v.rsqrt()",
        f"{x.name} * self.{name}v + self.{name}",
        f"torch.addcmul(self.{name}, {x.name}, self.{name}v)",
    )
    b.call(code, x, init=init)


@step("norms")
def layer_norm(b: Builder):
    x = b.pick((2, 3, 4, 5))
    width = b.channels(x, x.rank - 1)
    shape: object = width
    if x.rank >= 3 and x.dims[-2] is not None and b.chance(0.2):
        shape = [x.dims[-2], width]
    affine, bias = b.chance(0.8), b.chance(0.8)
    eps = b.choose(1e-5, 1e-6, 1e-12)
    b.layer(f"nn.LayerNorm({shape}, eps={eps}, elementwise_affine={affine}, bias={bias})", x)


@step("norms")
def norm_of_channels(b: Builder):
    """A layer norm over the channels of a map, as in ConvNeXt."""
    x = b.pick(4)
    name = b.fresh("m")
    init = [f"self.{name} = nn.LayerNorm({b.channels(x, 1)})"]
    b.call(f"self.{name}({x.name}.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)", x, init=init)


@step("norms")
def group_norm(b: Builder):
    x = b.pick((2, 3, 4, 5))
    c = b.channels(x, 1)
    groups = b.choose(*[n for n in (1, 2, 3, 4, c) if c % n == 0])
    if x.rank == 2 and groups == c:
        raise Skip("one value a group")
    b.layer(f"nn.GroupNorm({groups}, {c}, eps={b.choose(1e-5, 1e-6)}, affine={b.chance(0.8)})", x)


@step("norms")
def instance_norm(b: Builder):
    x = b.pick(
        (3, 4, 5), lambda v: min(v.tensors[i][0, 0].numel() for i in range(len(v.tensors))) > 1
    )
    n, c = x.rank - 2, b.channels(x, 1)
    running = b.chance(0.3)
    b.layer(f"nn.InstanceNorm{n}d({c}, affine={b.chance(0.5)}, track_running_stats={running})", x)


@step("norms")
def rms_norm(b: Builder):
    x = b.pick((2, 3, 4))
    width = b.channels(x, x.rank - 1)
    eps = b.choose("None", "1e-6", "1e-5")
    b.layer(f"nn.RMSNorm({width}, eps={eps}, elementwise_affine={b.chance(0.8)})", x)


@step("norms")
def unit_length(b: Builder):
    x = b.pick((2, 3, 4))
    b.call(f"F.normalize({x.name}, dim={b.choose(-1, 1)}, p={b.choose(1, 2, 2)})", x)


@step("norms")
def local_response(b: Builder):
    x = b.pick((3, 4))
    b.layer(f"nn.LocalResponseNorm({b.choose(2, 3)})", x)
