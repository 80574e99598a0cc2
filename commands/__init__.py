"""One verb per file. `bot.registry` finds them; nothing but `bot.app` imports this package."""
