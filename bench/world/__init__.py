"""Backends for the bench: every service exists, every deployment is healthy, and every answer takes as long as it is told to.

The bot finds them as a third party's (entry points in bench/plugin), so what runs is `python -m bot serve` as it ships.
"""
