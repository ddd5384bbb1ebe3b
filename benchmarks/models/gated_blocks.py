"""Inverted residuals with squeeze-and-excitation, of any activations."""

import torch
from torch import nn


def conv_bn(inner, outer, kernel, stride=1, groups=1, act=None):
    layers = [
        nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outer, eps=1e-3),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


class Gate(nn.Module):
    def __init__(self, width, squeezed, act, scale):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(width, squeezed, 1)
        self.act = act()
        self.expand = nn.Conv2d(squeezed, width, 1)
        self.scale = scale()

    def forward(self, x):
        return x * self.scale(self.expand(self.act(self.reduce(self.pool(x)))))


class GatedResidual(nn.Module):
    def __init__(self, inner, hidden, outer, kernel, stride, act, gate=None):
        super().__init__()
        layers = [] if hidden == inner else [conv_bn(inner, hidden, 1, act=act)]
        layers.append(conv_bn(hidden, hidden, kernel, stride, hidden, act))
        layers += [gate] if gate else []
        self.layers = nn.Sequential(*layers, conv_bn(hidden, outer, 1))
        self.residual = stride == 1 and inner == outer

    def forward(self, x):
        return x + self.layers(x) if self.residual else self.layers(x)


class Classifier(nn.Module):
    def __init__(self, features, head):
        super().__init__()
        self.features, self.head = features, head

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(self.features(x), 1)
        return self.head(torch.flatten(x, 1))
