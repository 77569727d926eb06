-- chain: answers with feedback between them, in pieces with a loss flag each. Columns: schemas.exports.ChainRow, in its
-- order.
-- from: chains, as chain_of_hindsight writes them
--
-- The segments begin with the prompt itself, so that `text` is the whole of what is trained on; `prompt` repeats it as
-- messages for those who build their own layout. One direction only: --where "template = 'worse_to_better'".
SELECT p.messages AS prompt,
       c.recipe,
       c.model,
       c.prompt_id,
       c.template,
       c.segments,
       array_to_string(list_transform(c.segments, lambda s: s.text), '') AS text,
       c.id AS chain_id
FROM chains c
JOIN prompts p ON p.id = c.prompt_id
-- The same chain once.
QUALIFY row_number() OVER (PARTITION BY p.messages, c.template, c.segments ORDER BY c.prompt_id, c.id) = 1
ORDER BY c.prompt_id, c.id
