"""Tests of the service; run them with `python -m unittest`."""
