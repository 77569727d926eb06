"""Answers of SQL queries, to the terminal or to a file."""

from __future__ import annotations

import json
import sys

import duckdb
import polars as pl

from flows.display import show_rows
from synth.errors import UsageError
from synth.store import Store


def answer(query: str, store: str, format: str, out: str | None) -> None:
    """Run one query and write its answer. Raises `UsageError` for SQL that DuckDB refuses."""
    with Store(store).connect() as connection:
        try:
            result = connection.sql(query)
            if format == "table" and out is None:
                return show_rows(result.columns, result.fetchall())
            frame = result.pl()
        except duckdb.Error as error:
            raise UsageError(f"DuckDB: {' '.join(str(error).split())}") from error
    if format == "parquet" and out is None:
        raise UsageError("--format parquet needs --out FILE")
    try:
        if format == "parquet":
            frame.write_parquet(str(out))
        elif format == "json":
            frame.write_ndjson(out or sys.stdout.buffer)
        else:
            flat = frame.with_columns(_as_text(frame))
            flat.write_csv(out or sys.stdout.buffer)
    except OSError as error:
        raise UsageError(f"cannot write {out!r}: {error.strerror}") from error
    return None


def _as_text(frame: pl.DataFrame) -> list[pl.Expr]:
    """Nested columns as JSON, since CSV has no lists."""
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    return [
        pl.col(name).map_elements(lambda value: json.dumps(_plain(value), ensure_ascii=False), return_dtype=pl.String)
        for name in nested
    ]


def _plain(value: object) -> object:
    return value.to_list() if isinstance(value, pl.Series) else value
