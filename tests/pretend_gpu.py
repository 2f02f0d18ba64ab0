"""A pretend GPU: tensors that say they are on ``cuda:0``, for tests of device handling on machines without one.

Numbers live on the CPU and are computed there, so that results are those of the CPU to the last bit.  What is checked is the etiquette: as
with a real GPU, its tensors do not meet tensors of the CPU (numbers without dimensions, and indices, may) and do not turn into NumPy
arrays, unless somebody moves them, by ``.cpu()``, ``.to(...)`` or ``device=...``.

To torch's C++ they are on the device ``meta``, the only other one for which builds without CUDA differentiate; Python sees ``cuda:0``.

Not pretended: speed and memory, streams, random numbers of the device, sums in no fixed order, dtypes that a device lacks, neural nets
moved with ``Module.to``, and kernels in any language but torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from stackelberg_envs.planning import linear_systems

aten = torch.ops.aten
GPU = torch.device("cuda", 0)
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
"""Operations whose second argument may be indices on the CPU."""
GATHERING = (aten.stack.default, aten.cat.default)
"""Operations that refuse even numbers from the CPU."""
MOVING = (aten._to_copy.default, aten.copy_.default)


class PretendTensor(torch.Tensor):
    """Numbers on the CPU (``held``) that pass for a CUDA tensor."""

    held: torch.Tensor
    device = GPU  # type: ignore[assignment]
    is_cuda, is_meta = True, False  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> PretendTensor:
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype, "device": "meta"}
        tensor = torch.Tensor._make_wrapper_subclass(cls, held.shape, **layout)  # type: ignore[attr-defined]
        tensor.held = held
        return tensor

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})

    def numpy(self, *, force: bool = False) -> np.ndarray:  # type: ignore[override]
        return self.detach().cpu().numpy() if force else self.__array__()

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:  # type: ignore[override]
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def get_device(self) -> int:
        return 0

    def __repr__(self, **kwargs: Any) -> str:  # type: ignore[override]
        return f"pretend_cuda({self.held!r})"


def computed(func: Any, args: Any, kwargs: Any) -> Any:
    """An operation of torch on the numbers behind pretend tensors; its results are pretend tensors if those are, or if it was told so."""
    known: dict[int, torch.Tensor] = {}  # operations in place return what they were given

    def reveal(tensor: torch.Tensor) -> torch.Tensor:
        inside = tensor.held if isinstance(tensor, PretendTensor) else tensor
        known[id(inside)] = tensor
        return inside

    inside, named = _each(reveal, args), {name: _each(reveal, value) for name, value in kwargs.items()}
    pretend = any(isinstance(tensor, PretendTensor) for tensor in known.values())
    if pretend and func not in MOVING:
        meeting = known.values() if func not in INDEXING else [tensor for tensor in args if isinstance(tensor, torch.Tensor)]
        for tensor in meeting:
            if isinstance(tensor, PretendTensor):
                continue
            if tensor.is_meta:
                raise RuntimeError(f"{func} met numbers that torch's C++ put on 'meta', and lost: `Moves` must move them")
            if tensor.ndim or func in GATHERING:
                raise RuntimeError(f"{func}: expected all tensors on the same device, but found at least two devices, cuda:0 and cpu!")
    wanted = kwargs.get("device")
    if wanted is not None:
        pretend = wanted.type == "meta"
        named["device"] = torch.device("cpu")
    result = func(*inside, **named)
    return _each(lambda made: known[id(made)] if id(made) in known else PretendTensor(made), result) if pretend else result


def _each(change: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """``value`` with its tensors changed, in lists and tuples too."""
    if isinstance(value, torch.Tensor):
        return change(value)
    return type(value)(_each(change, part) for part in value) if isinstance(value, (list, tuple)) else value


class Computes(TorchDispatchMode):
    """Operations without pretend tensors among their arguments may be asked to make some, also by the derivatives of others."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and its guard takes seconds to import

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


class Moves(TorchFunctionMode):
    """Python's ``device="cuda"``, in words that torch's C++ takes without CUDA; and lists as indices, which it would move by itself."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.cuda:
            return args[0].to("meta")
        if func is torch.Tensor.to:
            return func(*(("meta" if _on_gpu(a) else a) for a in args), **{k: "meta" if _on_gpu(a) else a for k, a in kwargs.items()})
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(args[0], PretendTensor):
            return func(args[0], _index(args[1]), *args[2:])
        device = kwargs.get("device")
        if device is not None and torch.device(device).type == "meta":  # nobody's GPU: `torch.nn.utils.skip_init` means it
            with _disable_current_modes():
                return func(*args, **kwargs)
        if not _on_gpu(device):
            return func(*args, **kwargs)
        if args and isinstance(args[0], PretendTensor):
            return func(*args, **{**kwargs, "device": "meta"})
        leaf = kwargs.pop("requires_grad", False)  # made on the CPU, and moved: C++ would not copy numbers to 'meta'
        return func(*args, **{**kwargs, "device": "cpu"}).to("meta").requires_grad_(leaf)


def _on_gpu(argument: Any) -> bool:
    return isinstance(argument, (str, torch.device)) and torch.device(argument).type == "cuda"


def _index(index: Any) -> Any:
    """An index with lists and NumPy arrays as tensors of the CPU."""
    parts = index if isinstance(index, tuple) else (index,)
    made = tuple(torch.as_tensor(part) if isinstance(part, (list, np.ndarray)) else part for part in parts)
    return made if isinstance(index, tuple) else made[0]


@contextmanager
def pretend_gpu() -> Iterator[str]:
    """``device="cuda"`` makes pretend tensors, within; kept matrices are forgotten, for a real GPU's have the same key."""
    linear_systems._identity.cache_clear()
    try:
        with Moves(), Computes():
            yield "cuda"
    finally:
        linear_systems._identity.cache_clear()
