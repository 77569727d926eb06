"""Answers of SQL queries, to the terminal or to a file. DuckDB writes files, so an answer need not fit in memory."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from flows.display import show_rows
from synth.errors import UsageError
from synth.store import Store

if TYPE_CHECKING:
    import duckdb

FORMATS = ("table", "csv", "json", "parquet")
SHOWN_ROWS = 500
_OPTIONS = {"csv": "FORMAT csv, HEADER", "json": "FORMAT json", "parquet": "FORMAT parquet, COMPRESSION zstd"}
_SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
_NESTED = {"list", "array", "struct", "map", "union"}


def answer(query: str, store: str, format: str | None, out: str | None) -> None:
    """Run one query and write its answer; without a format, as the name of `out` says.

    Raises `UsageError` for SQL that DuckDB refuses.
    """
    import duckdb

    format = format or _format_of(out)
    if format == "parquet" and out is None:
        raise UsageError("--format parquet needs --out FILE")
    if format == "table" and out is not None:
        raise UsageError(f"--out {out!r} needs --format csv, json or parquet, or a name that ends so")
    with Store(store).connect() as connection:
        connection.execute("SET python_enable_replacements = false")  # our own variables are no tables
        try:
            if format == "table":
                _show(connection, query)
            elif out is not None:
                _write(connection, query, format, out)
            else:
                with TemporaryDirectory() as folder:
                    _write(connection, query, format, f"{folder}/answer")
                    with Path(folder, "answer").open("rb") as file:
                        shutil.copyfileobj(file, sys.stdout.buffer)
        except duckdb.Error as error:
            said = str(error).partition("\n\nLINE ")[0]
            raise UsageError(f"DuckDB: {' '.join(said.split())}") from error


def _format_of(out: str | None) -> str:
    return _SUFFIXES.get(Path(out or "").suffix.lower(), "table")


def _show(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    connection.execute(query)
    if connection.description is None:
        raise _no_rows(query)
    rows = connection.fetchmany(SHOWN_ROWS + 1)
    show_rows([column[0] for column in connection.description], rows[:SHOWN_ROWS], more=len(rows) > SHOWN_ROWS)


def _write(connection: duckdb.DuckDBPyConnection, query: str, format: str, out: str) -> None:
    rows = connection.sql(query)
    if rows is None:
        raise _no_rows(query)
    rows.create_view("answer")
    columns = "*"
    if format == "csv":  # which has no lists: nested columns become JSON
        names = connection.sql("FROM answer").columns
        quoted = ['"' + name.replace('"', '""') + '"' for name in names]
        nested = [name for name, kind in zip(quoted, rows.types, strict=True) if kind.id in _NESTED]
        columns += f" REPLACE ({', '.join(f'to_json({name}) AS {name}' for name in nested)})" if nested else ""
    target = out.replace("'", "''")
    connection.execute(f"COPY (SELECT {columns} FROM answer) TO '{target}' ({_OPTIONS[format]})")


def _no_rows(query: str) -> UsageError:
    return UsageError(f'expected a query that answers with rows, got {query!r}; try "SELECT count(*) FROM responses"')
