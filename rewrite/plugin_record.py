"""What the host knows of one plugin: where it comes from, what it yields, what went wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pluggy

from rewrite.blame import defined_at
from rewrite.errors import STOPS, RewriteError
from rewrite.plugin_checks import ContractError, Kind
from rewrite.plugin_loading import Failure

Status = Literal["active", "blocked", "broken"]


@dataclass(frozen=True)
class PluginInfo:
    """What `rewrite plugins` shows of one plugin."""

    name: str
    distribution: str
    """The distribution it was installed by, or the file or module given by hand."""
    version: str
    status: Status
    hooks: tuple[str, ...] = ()
    provides: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Names by kind: pass, preset, model, target, lowering, calibrator, observer."""
    error: str | None = None
    where: str | None = None

    @property
    def source(self) -> str:
        """The distribution and its version, as `dist 1.2`."""
        return f"{self.distribution} {self.version}".strip()


@dataclass
class PluginRecord:
    """One plugin while the host works with it."""

    name: str
    distribution: str
    version: str
    blocked: bool = False
    failures: list[Failure] = field(default_factory=list)
    hooks: list[tuple[str, pluggy.HookImpl]] = field(default_factory=list)
    """Hook names with the functions that implement them."""
    _yielded: dict[str, list[tuple[tuple[str, ...], Any]]] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The distribution and its version, as `dist 1.2`."""
        return f"{self.distribution} {self.version}".strip()

    def __str__(self) -> str:
        return f"'{self.name}' ({self.source})"

    def ask(self, kind: Kind) -> list[tuple[tuple[str, ...], Any]]:
        """Return (names, descriptor) pairs of a kind; the hooks are called the first time only."""
        if kind.noun not in self._yielded:
            self._yielded[kind.noun] = []
            for hook, implementation in self.hooks:
                if hook == kind.hook:
                    self._yielded[kind.noun] += self._consume(kind, implementation)
        return self._yielded[kind.noun]

    def info(self) -> PluginInfo:
        """Describe the plugin as far as it was asked."""
        status: Status = "active"
        if self.blocked:
            status = "blocked"
        elif self.failures:
            status = "broken"
        provides = {
            kind: tuple(name for names, value in found for name in names or (value.name,))
            for kind, found in self._yielded.items()
            if found
        }
        return PluginInfo(
            name=self.name,
            distribution=self.distribution,
            version=self.version,
            status=status,
            hooks=tuple(dict.fromkeys(hook for hook, _ in self.hooks)),
            provides=provides,
            error="\n".join(str(f) for f in self.failures) or None,
            where=self.failures[0].where if self.failures else None,
        )

    def _consume(
        self, kind: Kind, implementation: pluggy.HookImpl
    ) -> list[tuple[tuple[str, ...], Any]]:
        """Call one implementation and validate what it yields; a failure drops all of it.

        A generator raises when it is consumed, after pluggy's own call, so it is called here.
        """
        accepted: list[tuple[tuple[str, ...], Any]] = []
        taken: set[str] = set()
        try:
            given = implementation.function()
            if given is None or isinstance(given, type) or not isinstance(given, Iterable):
                raise ContractError(
                    f"returned {type(given).__name__}: yield the descriptors instead"
                )
            for value in given:
                names = kind.keys(value)
                if taken & set(names):
                    raise ContractError(f"yielded {kind.noun} '{names[0]}' twice")
                taken.update(names)
                accepted.append((names, value))
        except ContractError as error:
            where = defined_at(implementation.function)
            self.failures.append(Failure(f"{kind.hook}: {error}", where))
        except RewriteError as error:
            where = error.where or Failure.of(error).where
            self.failures.append(Failure(f"{kind.hook}: {error.what}", where, error.hint))
        except STOPS:
            raise
        except BaseException as error:
            failure = Failure.of(error)
            self.failures.append(replace(failure, what=f"{kind.hook}: {failure.what}"))
        else:
            return accepted
        return []
