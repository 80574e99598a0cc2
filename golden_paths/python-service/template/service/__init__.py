"""The service: an HTTP server on the standard library. Start it with `python -m service`."""
