"""The syscall tracer. The package itself can be called: `proctor.trace(pid=…)` is its Python API.

It has the name of its command, which is the name that users expect the function to have, too.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from proctor.trace.api import trace

        return trace(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
