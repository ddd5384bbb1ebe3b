"""The versions that each known fault was seen on: the installed one has it if it is among them."""

from __future__ import annotations

import importlib
import platform
import warnings
from pathlib import Path

import pytest

from rewrite import Fault
from rewrite.faults import matches
from rewrite.plugin_host import PluginHost
from rewrite.runtimes import NAMES, get_runtime
from rewrite.runtimes.processor import saturates

FAULTS = {fault.name: fault for fault in PluginHost().faults()}
NEEDS_VNNI = {
    "unsigned-weights-on-x86",
    "signed-activations-off-zero",
    "product-without-bias",
    "product-read-again",
}
"""What is another kernel, or none, on a processor without it."""
NEEDS_AVX512 = {"flat-volume-of-one-channel"}
"""What is another kernel on a processor without its VNNI."""
NEEDS_OTHERS = {"signed-activations-off-zero"}
"""What that kernel gets right, unless it is the one for AMX."""


class News(UserWarning):
    """Something is known now of a version that the table says nothing about."""


def judge(fault: Fault, version: str, has_it: bool) -> None:
    """Hold a version inside the range to it, and tell of one outside.

    Raises:
        AssertionError: when a version inside the range does not have the fault.
    """
    first, last = fault.seen
    if fault.was_seen_on(version):
        assert has_it, (
            f"{fault.runtime} {version} no longer has '{fault.name}': end its seen before it, and "
            "its versions too, in known_bad.toml"
        )
        return
    if not has_it and not matches(version, fault.versions):
        return
    found = "has" if has_it else "has no more"
    warnings.warn(
        f"{fault.runtime} {version} {found} '{fault.name}', which was seen on {first} to {last}: "
        "write it into known_bad.toml",
        News,
        stacklevel=2,
    )


def _has_int8_kernels() -> bool:
    import openvino

    return "INT8" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _has(flag: str) -> bool:
    return Path("/proc/cpuinfo").is_file() and flag in Path("/proc/cpuinfo").read_text().split()


@pytest.mark.parametrize("name", FAULTS)
def test_the_installed_version_has_what_it_is_said_to_have(name, tmp_path):
    fault, machine = FAULTS[name], platform.machine().lower()
    runtime = get_runtime(fault.runtime)
    if not runtime.available():
        pytest.skip(f"{fault.runtime} is not installed")
    if fault.runtime == "openvino" and not _has_int8_kernels():
        pytest.skip("OpenVINO has no int8 kernels for this CPU")
    if fault.machines and machine not in fault.machines:
        pytest.skip(f"not seen on {machine}")
    if name in NEEDS_VNNI and saturates():
        pytest.skip("this processor has no VNNI")
    if name in NEEDS_AVX512 and not _has("avx512_vnni"):
        pytest.skip("this processor has no VNNI of AVX-512")
    if name in NEEDS_OTHERS and _has("avx512_vnni") and not _has("amx_int8"):
        pytest.skip("not seen on processors with VNNI of AVX-512 and no AMX")
    probes = importlib.import_module(f".{fault.runtime}_probes", __package__)
    judge(fault, runtime.version, probes.PROBES[name](Path(tmp_path)))


@pytest.mark.parametrize("runtime", NAMES)
def test_every_fault_has_a_range_and_a_probe(runtime):
    if not get_runtime(runtime).available():
        pytest.skip(f"{runtime} is not installed")
    probes = importlib.import_module(f".{runtime}_probes", __package__)
    known = [fault for fault in FAULTS.values() if fault.runtime == runtime]
    assert set(probes.PROBES) == {fault.name for fault in known}
    assert all(fault.seen for fault in known)


MADE_UP = Fault("old", "onnxruntime", "does", versions=">=1.2,<1.6", seen=("1.2.1", "1.4.0"))


@pytest.mark.parametrize("version", ["1.2.1", "1.3", "1.4.0"])
def test_a_version_inside_without_the_fault_fails(version):
    judge(MADE_UP, version, True)
    with pytest.raises(AssertionError, match=f"{version} no longer has 'old'"):
        judge(MADE_UP, version, False)


@pytest.mark.parametrize(
    ("version", "has_it", "said"),
    [("1.5", True, "1.5 has 'old'"), ("1.5", False, "has no more"), ("1.7", True, "1.7 has 'old'")],
)
def test_a_version_beyond_is_told(version, has_it, said):
    with pytest.warns(News, match=said):
        judge(MADE_UP, version, has_it)


def test_a_version_where_it_is_not_expected_and_not_found_is_no_news():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judge(MADE_UP, "1.7", False)
