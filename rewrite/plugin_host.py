"""The plugin host: loads plugins, validates what they yield, and finds things by name.

One broken plugin never breaks the others; a requested one that is broken always says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pluggy

from rewrite import hookspecs, plugin_loading
from rewrite.blame import defined_at
from rewrite.descriptors import Calibrator, Lowering, Model, PassObserver, Preset
from rewrite.errors import STOPS, PluginError, UsageError, nearest, unknown
from rewrite.faults import Fault
from rewrite.guarded_observer import GuardedObserver
from rewrite.passes import Pass
from rewrite.plugin_checks import KINDS
from rewrite.plugin_loading import Failure
from rewrite.plugin_record import PluginInfo, PluginRecord
from rewrite.target import Target

__all__ = ["PluginHost", "PluginInfo"]


class PluginHost:
    """Holds the plugins of one run of the compiler.

    Args:
        block: names of plugins to leave out.
        plugins: files (`./my_pass.py`) or importable modules to load besides the installed ones.

    Raises:
        UsageError: for a name in `block` that no plugin has.
        PluginError: when one of `plugins` does not load.
    """

    def __init__(self, *, block: Iterable[str] = (), plugins: Iterable[str] = ()) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._plugins: dict[str, PluginRecord] = {}
        self._shadowed: list[PluginRecord] = []
        blocked = set(block)
        for entry_point in plugin_loading.installed():
            self._load(entry_point, blocked)
        for name in blocked - set(self._plugins):
            raise unknown("plugin", name, self._plugins)
        given_plugins = list(plugins)
        for given in given_plugins:
            self.add(given)
        self._require_targets(given_plugins)

    def add(self, given: str) -> None:
        """Load a file or an importable module as a plugin, as `--plugin` takes it.

        Raises:
            PluginError: when it is not there, does not import or registers no hooks.
        """
        if given.endswith(".py") or "/" in given or "\\" in given:
            self.add_file(Path(given))
        else:
            self._require(given, given, plugin_loading.load_module(given))

    def add_file(self, path: Path | str) -> None:
        """Load one file as a plugin.

        Raises:
            PluginError: when it is not there, does not import or registers no hooks.
        """
        module = plugin_loading.load_file(Path(path))
        self._require(Path(path).stem.replace("_", "-"), str(path), module)

    def passes(self) -> dict[str, type[Pass]]:
        """Return the pass classes by name."""
        return self._table("pass")

    def presets(self) -> dict[str, Preset]:
        """Return the presets by name."""
        return self._table("preset")

    def models(self) -> dict[str, Model]:
        """Return the models of the zoo by name."""
        return self._table("model")

    def targets(self) -> dict[str, Target]:
        """Return the deployment targets by name, without those that are broken."""
        table: dict[str, Target] = self._table("target")
        found: dict[str, Target] = {}
        for name, target in table.items():
            try:
                found[name] = self._whole(target, table)
            except UsageError as error:
                self._record("target", name, Failure(error.what, error.where, error.hint))
        return found

    def faults(self) -> list[Fault]:
        """Return the known bad combinations of runtimes, opsets and types."""
        return list(self._table("fault").values())

    def calibrators(self) -> dict[str, type[Calibrator]]:
        """Return the calibrator classes by name."""
        return self._table("calibrator")

    def lowerings(self) -> list[Lowering]:
        """Return the translations of single operators."""
        self._table("lowering")
        return [value for _, _, value in self._all("lowering")]

    def observers(self) -> list[PassObserver]:
        """Return the observers of passes; what one raises is told as its plugin's."""
        found = self._all("observer")
        return [GuardedObserver(value, plugin.source) for plugin, _, value in found]

    def find_pass(self, name: str) -> type[Pass]:
        """Return a pass class by name."""
        found: type[Pass] = self._find("pass", name)
        return found

    def find_preset(self, name: str) -> Preset:
        """Return a preset by name."""
        found: Preset = self._find("preset", name)
        return found

    def find_model(self, name: str) -> Model:
        """Return a model of the zoo by name."""
        found: Model = self._find("model", name)
        return found

    def find_target(self, name: str) -> Target:
        """Return a deployment target by name, with everything it inherits.

        Raises:
            UsageError: for an unknown name, a target whose inheritance is broken, or one that
                names a rule, a pass or a runtime that is not there.
        """
        found: Target = self._find("target", name)
        return self._whole(found, self._table("target"))

    def find_calibrator(self, name: str) -> type[Calibrator]:
        """Return a calibrator class by name."""
        found: type[Calibrator] = self._find("calibrator", name)
        return found

    def origin(self, kind: str, name: str) -> str:
        """Return the distribution and version that `name` comes from, '' when it is unknown."""
        return next((p.source for p, names, _ in self._all(kind) if name in names), "")

    def pass_origin(self, name: str) -> str:
        """Return the distribution and version that a pass comes from."""
        return self.origin("pass", name)

    def plugins(self) -> list[PluginInfo]:
        """Describe every plugin, broken and blocked ones too; asks each for all it provides."""
        for kind in KINDS.values():
            for plugin in self._plugins.values():
                plugin.ask(kind)
        return [p.info() for p in [*self._plugins.values(), *self._shadowed]]

    def _whole(self, target: Target, table: dict[str, Target]) -> Target:
        """Return a target with everything it inherits, held to the names that there are."""
        from rewrite.target_names import check_names

        whole = target.resolved(table)
        check_names(whole, self.passes())
        return whole

    def _require_targets(self, plugins: list[str]) -> None:
        """Hold the targets of plugins that were asked for to what they inherit."""
        asked = [p for p in self._plugins.values() if p.distribution in plugins]
        for plugin in asked:
            for names, _ in plugin.ask(KINDS["target"]):
                self.find_target(names[0])

    def _record(self, kind: str, name: str, failure: Failure) -> None:
        """Note what is wrong with something a plugin provides, once."""
        plugin = next(p for p, names, _ in self._all(kind) if name in names)
        if failure not in plugin.failures:
            plugin.failures.append(failure)

    def _load(self, entry_point: Any, blocked: set[str]) -> None:
        name = entry_point.name
        plugin = PluginRecord(name, *plugin_loading.source(entry_point), blocked=name in blocked)
        if name in self._plugins:
            other = self._plugins[name]
            what = f"the plugin name '{name}' is taken by {other.source}"
            plugin.failures.append(Failure(what, hint="one of the two must be renamed"))
            self._shadowed.append(plugin)
            return
        self._plugins[name] = plugin
        if plugin.blocked:
            return
        try:
            self._register(plugin, entry_point.load())
        except STOPS:
            raise
        except BaseException as error:
            plugin.failures.append(Failure.of(error))

    def _require(self, name: str, given: str, module: Any) -> None:
        """Register a plugin that was asked for: every failure is raised, not recorded."""
        if self._manager.is_registered(module):
            return
        if name in self._plugins:
            taken = self._plugins[name].source
            raise PluginError(f"the plugin name '{name}' is taken by {taken}", where=given)
        plugin = PluginRecord(name, given, "")
        try:
            self._register(plugin, module)
        except STOPS:
            raise
        except BaseException as error:
            plugin.failures.append(Failure.of(error, getattr(module, "__file__", None)))
        for kind in KINDS.values():
            plugin.ask(kind)
        if plugin.failures:
            first = plugin.failures[0]
            self._manager.unregister(name=name)
            where = first.where or getattr(module, "__file__", None)
            raise PluginError(f"plugin {given}: {first.what}", where=where, hint=first.hint)
        self._plugins[name] = plugin

    def _register(self, plugin: PluginRecord, module: Any) -> None:
        try:
            self._manager.register(module, name=plugin.name)
        except pluggy.PluginValidationError as error:
            self._manager.unregister(name=plugin.name)
            what = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
            hint = "a hook may leave arguments out, but take none that its specification lacks"
            plugin.failures.append(Failure(what, getattr(module, "__file__", None), hint))
            return
        known = hookspecs.hook_names()
        for caller in self._manager.get_hookcallers(module) or ():
            mine = [i for i in caller.get_hookimpls() if i.plugin is module]
            if caller.name in known:
                plugin.hooks.extend((caller.name, i) for i in mine)
            elif not all(i.optionalhook for i in mine):
                near = nearest(caller.name, known)
                hint = f"did you mean '{near}'?" if near else f"hooks: {', '.join(known)}"
                what = f"there is no hook '{caller.name}'"
                plugin.failures.append(Failure(what, defined_at(mine[0].function), hint))
        if not plugin.hooks and not plugin.failures:
            plugin.failures.append(plugin_loading.no_hooks(module))

    def _all(self, kind: str) -> Iterator[tuple[PluginRecord, tuple[str, ...], Any]]:
        """Ask every plugin that was not asked yet, then yield (plugin, names, descriptor)."""
        for plugin in self._plugins.values():
            for names, value in plugin.ask(KINDS[kind]):
                yield plugin, names, value

    def _table(self, kind: str) -> dict[str, Any]:
        table: dict[str, Any] = {}
        owner: dict[str, PluginRecord] = {}
        for plugin, names, value in self._all(kind):
            for name in names:
                if name in table:
                    raise UsageError(
                        f"two plugins provide {kind} '{name}': {owner[name]} and {plugin}",
                        hint=_leave_one_out(owner[name], plugin),
                    )
                table[name], owner[name] = value, plugin
        return table

    def _find(self, kind: str, name: str) -> Any:
        table = self._table(kind)
        if name in table:
            return table[name]
        error = unknown(kind, name, table)
        broken = [p for p in [*self._plugins.values(), *self._shadowed] if p.failures]
        if not broken:
            raise error
        failed = "; ".join(f"plugin {p} failed: {p.failures[0].what}" for p in broken)
        raise PluginError(
            f"{error.what}; {failed}",
            where=broken[0].failures[0].where,
            hint=f"{error.hint}; otherwise mend or reinstall the plugin; see: rewrite plugins",
        )


def _leave_one_out(first: PluginRecord, second: PluginRecord) -> str:
    """Return how to end a clash: a file that was asked for is not blocked by name."""
    given = next((p for p in (second, first) if p.distribution.endswith(".py")), None)
    if given is None:
        return f"leave one of them out: --block {second.name}"
    return f"give yours another name, or leave out --plugin {given.distribution}"
