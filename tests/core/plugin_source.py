"""The source of a small plugin, for tests that write plugins to disk."""

from __future__ import annotations

PASS = """
    from rewrite import Outcome, Pass, hookimpl

    class Idle(Pass):
        '''Do nothing.'''

        name = "{name}"
        equivalence = "exact"

        def run(self, program, context):
            return Outcome()

    @hookimpl
    def rewrite_passes():
        yield Idle
"""


def provider(name):
    return PASS.format(name=name)


def info(host, name):
    return next(p for p in host.plugins() if p.name == name)
