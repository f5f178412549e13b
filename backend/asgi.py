"""The application under a name, for servers that want one: `backend.asgi:app`."""

from backend.main import create_app

app = create_app()
