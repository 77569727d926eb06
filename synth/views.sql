-- Views over the tables of a store. `burnish sql` and the exports see these beside the tables themselves.

CREATE VIEW drafts AS SELECT * FROM responses WHERE kind = 'draft';

CREATE VIEW refinements AS SELECT * FROM responses WHERE kind = 'refinement';

-- Where each response stands in the ranking that its recipe made, best = 1. `verdict` breaks a tie for the first.
CREATE VIEW ranks AS
SELECT id AS judgment_id, work_id, item_id, verdict, unnest(response_ids) AS response_id, unnest(scores) AS score,
       unnest(list_transform(scores, lambda s: len(list_filter(scores, lambda t: t > s)) + 1)) AS rank
FROM judgments WHERE kind = 'ranking';

-- What each refining recipe ended on: the refinement its ranking decided for, else the one of the last round.
CREATE VIEW finals AS
WITH decided AS (
    SELECT DISTINCT best.work_id, best.item_id, best.draft_id, best.id AS best_id
    FROM judgments j JOIN responses best ON best.id = j.verdict WHERE j.kind = 'ranking'
)
SELECT r.* FROM responses r
LEFT JOIN decided USING (work_id, item_id, draft_id)
WHERE r.kind = 'refinement' AND (best_id IS NULL OR best_id = r.id)
QUALIFY r.round = max(r.round) OVER (PARTITION BY r.work_id, r.item_id, r.draft_id);

-- Comparisons: all looks at one pair by one judge under one principle are averaged, both orders alike.
CREATE VIEW comparisons AS
SELECT work_id, item_id, prompt_id, any_value(recipe) AS recipe, author, principle_id,
       least(response_ids[1], response_ids[2]) AS a, greatest(response_ids[1], response_ids[2]) AS b,
       avg(CASE WHEN response_ids[1] < response_ids[2] THEN probabilities[1] ELSE probabilities[2] END ORDER BY id) AS p_a,
       count(*) AS looks, list(id ORDER BY id) AS judgment_ids
FROM judgments WHERE kind = 'comparison'
GROUP BY work_id, item_id, prompt_id, author, principle_id, a, b;

-- Every preference signal in one shape. `margin` is on the scale of its source: log-odds for comparisons,
-- difference of scores for rankings and scores, rounds of refinement for refinements. A ranking by chance is no signal.
CREATE VIEW preferences AS
WITH signals AS (
    SELECT prompt_id, item_id, work_id, recipe, 'comparison' AS source, author, judgment_ids,
           CASE WHEN p_a > 0.5 THEN a ELSE b END AS chosen_id, CASE WHEN p_a > 0.5 THEN b ELSE a END AS rejected_id,
           greatest(p_a, 1 - p_a) AS p_chosen,
           ln(greatest(p_a, 1 - p_a) / greatest(least(p_a, 1 - p_a), 1e-12)) AS margin
    FROM comparisons WHERE p_a <> 0.5
    UNION ALL
    SELECT j.prompt_id, j.item_id, j.work_id, j.recipe, 'ranking', j.author, [j.id],
           best.response_id, other.response_id, 1.0, best.score - other.score
    FROM judgments j
    JOIN ranks best ON best.judgment_id = j.id AND best.response_id = j.verdict
    JOIN ranks other ON other.judgment_id = j.id AND other.score < best.score
    WHERE NOT starts_with(coalesce(j.aspect, ''), 'random')
    UNION ALL
    SELECT x.prompt_id, x.item_id, x.work_id, x.recipe, 'score', x.author, [x.id, y.id],
           x.response_ids[1], y.response_ids[1], 1.0, x.scores[1] - y.scores[1]
    FROM judgments x
    JOIN judgments y ON x.work_id = y.work_id AND x.item_id = y.item_id AND x.author = y.author
                    AND x.aspect IS NOT DISTINCT FROM y.aspect AND x.scores[1] > y.scores[1]
    WHERE x.kind = 'score' AND y.kind = 'score'
    UNION ALL
    SELECT prompt_id, item_id, work_id, recipe, 'refinement', 'model', [], id, draft_id, 1.0, round FROM finals
)
SELECT s.prompt_id, s.chosen_id, s.rejected_id, c.text AS chosen, r.text AS rejected, s.p_chosen, s.margin,
       s.source, s.author, s.recipe, c.model, s.item_id, s.work_id, s.judgment_ids
FROM signals s JOIN responses c ON c.id = s.chosen_id JOIN responses r ON r.id = s.rejected_id
WHERE (c.text = r.text) IS NOT TRUE;  -- as c.text <> r.text, DuckDB would join every response with every other
