"""`RemoteMonitor`: sends the logs of the epochs to a server."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from kbackend.callbacks.callback import Callback

# A server that hangs must not stop training.
_TIMEOUT = 10.0


class RemoteMonitor(Callback):
    """Sends the epoch's number and metrics to a server, with HTTP POST, as JSON.

    Args:
        root: address of the server.
        path: path on it.
        field: field of the form that holds the JSON.
        headers: further HTTP headers.
        send_as_json: whether to send the JSON itself, and no form.

    Raises:
        ValueError: the address is not an HTTP address.

    Example:
        >>> RemoteMonitor("http://localhost:9000").root
        'http://localhost:9000'
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        super().__init__()
        if not root.startswith(("http://", "https://")):
            raise ValueError(
                "[RemoteMonitor] 'root' must begin with http:// or https://. Received: "
                f"root={root!r}."
            )
        self.root = root
        self.path = path
        self.field = field
        self.headers = headers
        self.send_as_json = send_as_json

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Sends the logs; a server that can't be reached gives a warning."""
        message: dict[str, Any] = {"epoch": epoch}
        for name, value in (logs or {}).items():
            message[name] = value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value
        text = json.dumps(message)
        if self.send_as_json:
            body, kind = text.encode(), "application/json"
        else:
            body = urllib.parse.urlencode({self.field: text}).encode()
            kind = "application/x-www-form-urlencoded"
        request = urllib.request.Request(
            self.root + self.path,
            data=body,
            headers={"Content-Type": kind, **(self.headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT):
                pass
        except (urllib.error.URLError, TimeoutError) as error:
            warnings.warn(
                f"[RemoteMonitor] the server at {self.root} could not be reached: {error}.",
                stacklevel=2,
            )
