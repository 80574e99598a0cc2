"""The schema's history, applied by `bot.database.migrate`. Revisions never import the code they once served."""
