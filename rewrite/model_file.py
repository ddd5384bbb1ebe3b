"""Model files: plain Python that says what to compile and with which inputs."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from rewrite.descriptors import Model
from rewrite.errors import STOPS, CaptureError, RewriteError, UsageError, first_line, nearest
from rewrite.named_files import require_plain, split_model
from rewrite.provenance import user_frame


def load_model_file(text: str) -> Model:
    """Load `path/model.py` or `path/model.py:factory`.

    Args:
        text: path of a Python file; `factory` names the function that returns the model and
            defaults to `model`.

    Raises:
        UsageError: for a file that is missing, does not run, or lacks `model()` or `inputs()`.
    """
    path_text, factory = split_model(text)
    path = Path(path_text)
    require_plain(path)
    if not path.is_file():
        raise UsageError(
            f"there is no model file '{path}'",
            hint="give a Python file with model() and inputs(), or zoo:NAME (see: rewrite zoo)",
        )
    module = _import(path)
    make = _function(module, factory, path, required=True)
    inputs = _function(module, "inputs", path, required=True)
    assert make is not None and inputs is not None
    return Model(
        name=path.stem if factory == "model" else f"{path.stem}:{factory}",
        model=make,
        inputs=inputs,
        dynamic_shapes=getattr(module, "dynamic_shapes", None),
        calibration=_function(module, "calibration", path),
        evaluate=_function(module, "evaluate", path),
        source=str(path),
    )


def guard_model(description: Model) -> Model:
    """Let every failure of the user's own functions name the user's own line."""
    calibration, evaluate = description.calibration, description.evaluate
    return replace(
        description,
        model=_guarded(description.model, f"the factory of '{description.name}'"),
        inputs=_guarded(description.inputs, "inputs()"),
        calibration=calibration and _guarded_batches(calibration),
        evaluate=evaluate and _guarded(_numbers(evaluate), "evaluate()"),
    )


def make_model(description: Model) -> nn.Module:
    """Call a model factory and make sure that it returns a module.

    Raises:
        CaptureError: when the factory raises or returns something else.
    """
    model = description.model()
    if not isinstance(model, nn.Module):
        raise CaptureError(
            f"the factory of '{description.name}' returned {type(model).__name__}, "
            "not an nn.Module",
            where=description.source or None,
            hint="end it with: return model.eval()",
        )
    return model


def _import(path: Path) -> ModuleType:
    name = f"_rewrite_model_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"'{path}' is not a Python file", hint="model files end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # As for a script: what lies beside the file can be imported, by its functions too.
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        with warnings.catch_warnings():
            spec.loader.exec_module(module)
    except STOPS:
        raise
    except BaseException as error:
        where = user_frame(error) or str(path)
        if isinstance(error, SyntaxError):
            where = f"{error.filename}:{error.lineno}: {(error.text or '').strip()}"
        raise UsageError(
            f"the model file does not run: {type(error).__name__}: {first_line(error)}",
            where=where,
            hint=f"try: python {path}",
        ) from error
    return module


def _function(
    module: ModuleType, name: str, path: Path, *, required: bool = False
) -> Callable[..., Any] | None:
    found = getattr(module, name, None)
    if callable(found):
        return found  # type: ignore[no-any-return]
    if found is not None:
        raise UsageError(
            f"'{name}' in the model file is a {type(found).__name__}, not a function",
            where=str(path),
            hint=f"write: def {name}(): return ...",
        )
    if not required:
        return None
    defined = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
    near = nearest(name, defined)
    raise UsageError(
        f"the model file has no function {name}()",
        where=str(path),
        hint=f"did you mean {near}()?" if near else f"write: def {name}(): ...",
    )


def _guarded(function: Callable[..., Any], what: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            with warnings.catch_warnings():  # a filter of the model's is not one of the compiler's
                return function(*args, **kwargs)
        except (RewriteError, *STOPS):
            raise
        except BaseException as error:
            raise _failed(what, error) from error

    return call


def _guarded_batches(function: Callable[[], Iterable[Any]]) -> Callable[[], Iterator[Any]]:
    def batches() -> Iterator[Any]:
        iterator = _guarded(lambda: iter(function()), "calibration()")()
        while True:
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except (RewriteError, *STOPS):
                raise
            except BaseException as error:
                raise _failed("calibration()", error) from error
            yield batch

    return batches


def _numbers(evaluate: Callable[..., Any]) -> Callable[..., dict[str, float]]:
    def call(run: Any) -> dict[str, float]:
        return {str(name): float(value) for name, value in evaluate(run).items()}

    return call


def _failed(what: str, error: BaseException) -> CaptureError:
    return CaptureError(
        f"{what} raised {type(error).__name__}: {first_line(error)}",
        where=user_frame(error),
        hint="mend the model file; nothing was written",
    )
