-- unpaired: one answer and whether it is desirable. Columns: schemas.exports.UnpairedRow, in its order.
-- from: comparisons, rankings and scores of responses, and refinements set against their drafts
--
-- Every signal of the view `preferences` votes twice with the weight p_chosen: for its chosen answer and against its
-- rejected one. An answer is desirable if the votes for it weigh more; where both weigh the same it is left out.
-- Equal texts are one answer. Source and recipe are those of the heaviest vote for the label.
WITH votes AS (
    SELECT prompt_id, chosen AS text, chosen_id AS response_id,
           {'weight': p_chosen, 'source': source, 'recipe': recipe} AS vote
    FROM preferences
    UNION ALL
    SELECT prompt_id, rejected, rejected_id, {'weight': -p_chosen, 'source': source, 'recipe': recipe}
    FROM preferences
),
labels AS (
    SELECT p.messages, v.text, min(v.response_id) AS response_id,
           round(fsum(v.vote.weight), 9) AS balance,  -- rounded: a tie must not hang on the order of summation
           CASE WHEN balance > 0 THEN max(v.vote) ELSE min(v.vote) END AS heaviest
    FROM votes v
    JOIN prompts p ON p.id = v.prompt_id
    GROUP BY p.messages, v.text
    HAVING balance <> 0
)
SELECT l.messages AS prompt,
       l.heaviest.recipe AS recipe,
       r.model,
       r.prompt_id,
       [{'role': 'assistant', 'content': r.text}] AS completion,
       l.balance > 0 AS label,
       l.heaviest.source AS source,
       l.response_id
FROM labels l
JOIN (SELECT DISTINCT id, prompt_id, model, text FROM responses) r ON r.id = l.response_id
ORDER BY r.prompt_id, l.response_id
