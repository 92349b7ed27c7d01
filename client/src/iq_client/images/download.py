"""Images behind http and https addresses."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import Final

from iq_client.codes import ErrorCode
from iq_client.errors import InputError

_BLOCK: Final = 2**20


def fetch(url: str, *, max_bytes: int, timeout: float) -> bytes:
    """Downloads a file.

    Args:
        url: An `http://` or `https://` address; redirects are followed within these two.
        max_bytes: Where the file is larger, the download stops.
        timeout: Seconds without an answer until it is given up.

    Returns:
        The bytes of the file.

    Raises:
        InputError: `NOT_FOUND`, `TOO_LARGE`, or `NOT_READABLE` for everything else.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "iq-client", "Accept": "image/*"})
    parts: list[bytes] = []
    size = 0
    try:
        with _OPENER.open(request, timeout=timeout) as response:
            while block := response.read(_BLOCK):
                size += len(block)
                if size > max_bytes:
                    raise InputError("TOO_LARGE", f"the file has more than {max_bytes} bytes")
                parts.append(block)
            missing = response.length  # bytes that were announced and did not come
    except urllib.error.HTTPError as error:
        error.close()  # it is the response as well, and holds the connection
        code: ErrorCode = "NOT_FOUND" if error.code in (404, 410) else "NOT_READABLE"
        raise InputError(code, f"the server answers {error.code} {error.reason}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError("NOT_READABLE", f"the download failed: {reason}") from error
    if missing:
        raise InputError("NOT_READABLE", f"the download ended {missing} bytes early")
    return b"".join(parts)


def _opener() -> urllib.request.OpenerDirector:
    """An opener for http and https alone: urllib's own reads files and ftp as well."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


_OPENER: Final = _opener()
