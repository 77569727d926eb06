-- sft: one row per prompt and answer to imitate. Columns: schemas.exports.SftRow, in its order.
-- from: refinements, those that a ranking decided for where there is one
--
-- Where a recipe ranked the refinements of an item, only the one decided for is kept (ilf). Where it did not, those of
-- every round are, as Constitutional AI trains on all its revisions; for the last round alone, drop the line with OR.
-- To leave out refinements that changed nothing, add: AND NOT r.noop
SELECT p.messages AS prompt,
       r.recipe,
       r.model,
       r.prompt_id,
       [{'role': 'assistant', 'content': r.text}] AS completion,
       r.round,
       r.id AS response_id
FROM refinements r
JOIN prompts p ON p.id = r.prompt_id
WHERE (r.id IN (SELECT id FROM finals)
       OR (r.work_id, r.item_id) NOT IN (SELECT (work_id, item_id) FROM judgments WHERE kind = 'ranking'))
-- The same answer to the same prompt once: that of the earliest round.
QUALIFY row_number() OVER (PARTITION BY p.messages, r.text ORDER BY r.round, r.prompt_id, r.id) = 1
ORDER BY r.prompt_id, r.id
