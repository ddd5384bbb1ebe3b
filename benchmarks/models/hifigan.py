"""A HiFi-GAN-shaped vocoder (Kong et al., 2020): transposed 1-D convolutions enlarge a spectrogram,
dilated ones with leaky ReLU between them refine it."""

import torch
from torch import nn
from torch.nn import functional

BANDS, FRAMES = 80, 64
dynamic_shapes = {"mel": {0: torch.export.Dim("batch", max=64)}}


class Residual(nn.Module):
    def __init__(self, width, kernel, dilations):
        super().__init__()

        def conv(dilation):
            padding = (kernel - 1) // 2 * dilation
            return nn.Conv1d(width, width, kernel, dilation=dilation, padding=padding)

        self.first = nn.ModuleList(conv(d) for d in dilations)
        self.second = nn.ModuleList(conv(1) for _ in dilations)

    def forward(self, x):
        for first, second in zip(self.first, self.second, strict=True):
            y = first(functional.leaky_relu(x, 0.1))
            x = x + second(functional.leaky_relu(y, 0.1))
        return x


class Generator(nn.Module):
    def __init__(self, width=128, rates=(8, 8, 2), kernels=(3, 7)):
        super().__init__()
        self.pre = nn.Conv1d(BANDS, width, 7, padding=3)
        self.enlarge, self.refine = nn.ModuleList(), nn.ModuleList()
        for rate in rates:
            self.enlarge.append(nn.ConvTranspose1d(width, width // 2, 2 * rate, rate, rate // 2))
            width //= 2
            self.refine.append(nn.ModuleList(Residual(width, k, (1, 3, 5)) for k in kernels))
        self.post = nn.Conv1d(width, 1, 7, padding=3)

    def forward(self, mel):
        x = self.pre(mel)
        for enlarge, refine in zip(self.enlarge, self.refine, strict=True):
            x = enlarge(functional.leaky_relu(x, 0.1))
            x = sum(block(x) for block in refine) / len(refine)
        return torch.tanh(self.post(functional.leaky_relu(x)))


def model():
    torch.manual_seed(0)
    net = Generator().eval()
    for layer in net.modules():
        if isinstance(layer, nn.Conv1d):
            nn.init.normal_(layer.weight, std=(layer.in_channels * layer.kernel_size[0]) ** -0.5)
        if isinstance(layer, nn.ConvTranspose1d):
            taps = layer.in_channels * layer.kernel_size[0] / layer.stride[0]
            nn.init.normal_(layer.weight, std=taps**-0.5)
    return net


def batch(size, seed):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(size, BANDS, FRAMES, generator=generator) - 2,)


def inputs():
    return batch(2, 0)


def calibration():
    return (batch(8, 100 + i) for i in range(8))
