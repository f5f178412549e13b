"""The template of the route that a request matched: the only form in which a path becomes a label or a log field."""

from starlette.types import Scope

UNMATCHED = "unmatched"


def route_template(scope: Scope) -> str:
    """For instance `/runs/{run_id}/events`; `unmatched` where no route took the request. Known after routing."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) and path else UNMATCHED
