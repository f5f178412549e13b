"""The terminal client, `askgraph chat`: it speaks to a service over HTTP and a WebSocket, as any client does."""
