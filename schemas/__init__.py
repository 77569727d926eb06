"""What the data is: frozen pydantic models, one table or row type each.

The Parquet columns, the SQL columns and the Python fields are one spelling, because Arrow schemas are derived
from these models (`Row.arrow_schema`). Nothing here imports the rest of Burnish.
"""

from schemas.calls import Call
from schemas.chains import Chain, Segment
from schemas.config import RunConfig
from schemas.critiques import Critique
from schemas.exports import ChainRow, PreferenceRow, SftRow, UnpairedRow
from schemas.items import Item
from schemas.judgments import Judgment
from schemas.pairs import Pair
from schemas.principles import Constitution, Principle
from schemas.prompts import Message, Prompt
from schemas.rejects import Reject
from schemas.responses import Response
from schemas.row import Record, Row, content_id
from schemas.runs import Run

TABLES: dict[str, type[Row]] = {
    table.table: table
    for table in (Prompt, Response, Critique, Judgment, Chain, Principle, Constitution, Call, Run, Reject, Item)
}

__all__ = [
    "TABLES",
    "Call",
    "Chain",
    "ChainRow",
    "Constitution",
    "Critique",
    "Item",
    "Judgment",
    "Message",
    "Pair",
    "PreferenceRow",
    "Principle",
    "Prompt",
    "Record",
    "Reject",
    "Response",
    "Row",
    "Run",
    "RunConfig",
    "Segment",
    "SftRow",
    "UnpairedRow",
    "content_id",
]
