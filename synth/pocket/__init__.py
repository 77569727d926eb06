"""The pocket world: generated tasks with exact checkers, and the tiny model that lives in it."""
