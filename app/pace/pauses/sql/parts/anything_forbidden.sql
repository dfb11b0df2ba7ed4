-- Whether the acceptance of a submit may contradict anything. See find_refuted.
(SELECT EXISTS (SELECT FROM forbidden_answers) OR EXISTS (SELECT FROM pauses WHERE probe_at IS NOT NULL))
