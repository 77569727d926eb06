-- preference: two answers to one prompt, the better one first. Columns: schemas.exports.PreferenceRow, in its order.
-- from: comparisons, rankings and scores of responses, and refinements set against their drafts
--
-- The view `preferences` holds every signal of the store in one shape. A pair that two signals speak about is two rows;
-- keep one kind with --where "source = 'comparison'", the clear ones with --where "p_chosen >= 0.7".
SELECT p.messages AS prompt,
       s.recipe,
       s.model,
       s.prompt_id,
       [{'role': 'assistant', 'content': s.chosen}] AS chosen,
       [{'role': 'assistant', 'content': s.rejected}] AS rejected,
       s.p_chosen,
       s.margin,
       s.source,
       s.author,
       s.chosen_id,
       s.rejected_id
FROM preferences s
JOIN prompts p ON p.id = s.prompt_id
-- Rows that differ in nothing but ids would train the same thing twice: the first of them is kept.
QUALIFY row_number() OVER (
    PARTITION BY p.messages, s.chosen, s.rejected, s.p_chosen, s.margin, s.source, s.author, s.recipe, s.model
    ORDER BY s.prompt_id, s.chosen_id, s.rejected_id
) = 1
ORDER BY s.prompt_id, s.chosen_id, s.rejected_id, s.source, s.author, s.recipe, s.p_chosen, s.margin
