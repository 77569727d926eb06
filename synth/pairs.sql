-- Preferences as items for recipes that start from feedback: both texts, and what was said about each.
WITH said AS (SELECT response_id, min(text) AS text FROM critiques GROUP BY response_id)
SELECT p.prompt_id, prompts.messages, p.chosen_id, p.chosen, c.text AS chosen_critique,
       p.rejected_id, p.rejected, r.text AS rejected_critique, p.p_chosen, p.source, p.recipe
FROM preferences p
JOIN prompts ON prompts.id = p.prompt_id
LEFT JOIN said c ON c.response_id = p.chosen_id
LEFT JOIN said r ON r.response_id = p.rejected_id
QUALIFY row_number() OVER (PARTITION BY p.recipe, p.source, p.chosen_id, p.rejected_id ORDER BY p.p_chosen DESC) = 1
ORDER BY p.prompt_id, p.chosen_id, p.rejected_id, p.source;
