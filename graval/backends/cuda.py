"""Our CUDA library as a back end."""

from graval.backends.base import Backend, BackendUnavailableError


def open_cuda() -> Backend:
    """Raises BackendUnavailableError: the library is not part of this version."""
    raise BackendUnavailableError(
        "the CUDA back end is not part of this version; for a lab, set GRAVAL_BACKEND=simulated"
    )
