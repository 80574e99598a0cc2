"""Fixtures of the backends' tests. Names only: what they do is in `tests/kube.py` and `tests/claiming.py`."""

from claiming import place
from kube import admin, kubeconfig, kubernetes, namespace, server, stranger

__all__ = ["admin", "kubeconfig", "kubernetes", "namespace", "place", "server", "stranger"]
