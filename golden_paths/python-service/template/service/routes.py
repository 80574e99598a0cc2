"""What the service answers. Add your endpoints here: a function, and a line in ROUTES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

from service import about
from service.settings import Settings

# Takes the settings; gives the status and what to send as JSON.
Route = Callable[[Settings], tuple[HTTPStatus, object]]


def index(settings: Settings) -> tuple[HTTPStatus, object]:
    return HTTPStatus.OK, {
        "service": about.NAME,
        "version": settings.version,
        "environment": settings.environment,
    }


ROUTES: Mapping[str, Route] = {"/": index}
