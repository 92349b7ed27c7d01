"""A web service that scores photos, with FastAPI.

pip install iq-client fastapi uvicorn
iq-client serve                                            # or another server, named by IQ_URL
uvicorn web_service:app --app-dir examples --workers 2
curl --data-binary @photo.jpg http://localhost:8000/score
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request

from iq_client import AsyncClient, IQClientError

MAX_BYTES = 64 * 2**20  # as the server's own limit
OF_THE_PHOTO = {"EMPTY", "UNREADABLE", "TOO_LARGE", "UNSUPPORTED"}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Holds one client for each worker, made after `fork()`: its threads would not come along."""
    async with AsyncClient(deadline=20) as client:
        app.state.client = client
        yield


app = FastAPI(title="Photo quality", lifespan=lifespan)


@app.post("/score")
async def score(request: Request) -> dict[str, Any]:
    """Scores the photo that is the request's body.

    Raises:
        HTTPException: 413 for a body above `MAX_BYTES`, 422 for a photo that cannot be scored, 503
            where the scoring server cannot be used now.
    """
    photo = bytearray()
    async for chunk in request.stream():
        photo += chunk
        if len(photo) > MAX_BYTES:
            raise HTTPException(413, f"a photo has {MAX_BYTES} bytes at most")
    try:
        (found,) = await request.app.state.client.score_images([bytes(photo)])
    except IQClientError as error:
        raise HTTPException(503, str(error)) from error
    if found.error is not None:
        status = 422 if found.error.code in OF_THE_PHOTO else 503
        raise HTTPException(status, {"code": found.error.code, "message": found.error.message})
    return {"mean": found.mean, "std": found.std, "percentile": found.percentile}


@app.get("/health/live")
async def live() -> None:
    """Answers while this process runs."""


@app.get("/health/ready")
async def ready(request: Request) -> None:
    """Answers while the scoring server can be used.

    Raises:
        HTTPException: 503 where it cannot.
    """
    try:
        await request.app.state.client.wait_until_ready(timeout=1)
    except IQClientError as error:
        raise HTTPException(503, str(error)) from error
