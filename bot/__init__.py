"""The machine every command relies on; `bot.app` wires it, everything below knows only what lies beneath it."""
