"""What comes before the first result: the import, the first step, the size on disk."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import pathlib
import re
import time
from typing import Any

from ..models import all_models
from ..peers.base import Peer


def first_step(peer: Peer, model: str) -> dict[str, Any]:
    """Seconds of the import, and from before it to after the first step, in a new process."""
    begin = time.perf_counter()
    peer.start()
    imported = time.perf_counter()
    chosen = all_models()[model]
    x, y = chosen.data(1, 0)
    built = time.perf_counter()
    peer.session(chosen, dropout=True).fit(x, y)
    return {"import": imported - begin, "step": time.perf_counter() - built}


def _distributions(packages: tuple[str, ...]) -> dict[str, importlib.metadata.Distribution]:
    """The packages and what they need, as far as it is installed."""
    found: dict[str, importlib.metadata.Distribution] = {}
    todo = list(packages)
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            # For another system, or optional.
            continue
        found[name] = distribution
        for need in distribution.requires or ():
            if "extra ==" not in need:
                todo.append(re.split(r"[\s;<>=!~\[(@]", need, maxsplit=1)[0])
    return found


def _folder_bytes(name: str) -> int:
    """Size of a package that runs from its source tree; 0 for one that is installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or "site-packages" in spec.origin:
        return 0
    files = pathlib.Path(spec.origin).parent.rglob("*.py")
    return sum(path.stat().st_size for path in files)


def installed_size(peer: Peer) -> dict[str, Any]:
    """Bytes of the files of the peer's packages and all that they need."""
    sizes = {}
    for name, distribution in _distributions(peer.packages).items():
        paths = [pathlib.Path(str(file.locate())) for file in distribution.files or ()]
        sizes[name] = sum(path.stat().st_size for path in paths if path.is_file())
    sizes |= {name: _folder_bytes(name) for name in peer.source_packages() if name not in sizes}
    return {"bytes": sum(sizes.values()), "packages": sizes}
