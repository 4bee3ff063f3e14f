"""A GPU that is none: counts what would make the processor wait for it.

Tensors of the CPU say that they lie on a GPU. The dispatcher sees the same operations on either: reading a number off a
tensor, and shapes that depend on values. Copies between devices are no operations on the CPU; the calls that ask for
them are counted instead.
"""

from contextlib import ExitStack
from unittest import mock

import torch
from torch.nn.utils import clip_grad
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

GPU = torch.device("cuda", 0)
SAYS = {
    torch.Tensor.device.__get__: GPU,
    torch.Tensor.is_cuda.__get__: True,
    torch.Tensor.is_cpu.__get__: False,
}
GROUPED = clip_grad._group_tensors_by_device_and_dtype
COPIES = (torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.pin_memory, torch.tensor)
TAGS = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}
INDEXING = ("aten::index.", "aten::index_put", "aten::_unsafe_index", "aten::_index_put_impl_")
MASKS = (torch.bool, torch.uint8)


class Waits(TorchDispatchMode):
    """Within it, `found` gets the name of each operation or call that waits."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.around = ExitStack()

    def __enter__(self):
        self.around.enter_context(_Calls(self.found))
        self.around.enter_context(mock.patch.object(clip_grad, "_group_tensors_by_device_and_dtype", _grouped))
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.around.close()

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        name = function.name()
        if name.startswith(INDEXING):  # a list of numbers gives a known shape, a mask does not
            waits = any(i is not None and i.dtype in MASKS for i in arguments[1])
        else:
            waits = bool(TAGS & set(function.tags))
        if waits:
            self.found.append(name)
        return function(*arguments, **(named or {}))


class _Calls(TorchFunctionMode):
    """Has tensors say that they lie on a GPU, and notes calls that copy to it or from it."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, function, types, arguments=(), named=None):
        if function in SAYS:
            return SAYS[function]
        named = named or {}
        if function in COPIES:
            self.found.append(function.__name__)
        if function is torch.Tensor.to and (target := _device(arguments[1:], named)):
            if target != GPU:
                self.found.append(f"to {target}")
            return arguments[0]
        if named.get("device") == GPU:
            named = named | {"device": "cpu"}
        return function(*arguments, **named)


def _grouped(lists: list, *more) -> dict:
    """Torch's own groups, which read the device past the call."""
    return {(GPU, dtype): group for (_, dtype), group in GROUPED(lists, *more).items()}


def _device(arguments: tuple, named: dict) -> torch.device | None:
    """The device that a call of Tensor.to names."""
    asked = [a for a in (*arguments, *named.values()) if isinstance(a, (str, torch.device))]
    return torch.device(asked[0]) if asked else None
