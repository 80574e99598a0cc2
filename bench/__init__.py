"""Measures the bot beside what a user would pick instead and beside the physical limit. No part of the installed application.

Nothing in `bot/` imports it. `python -m bench` runs everything, `python -m bench PART` one part; README.md says what is measured.
"""
