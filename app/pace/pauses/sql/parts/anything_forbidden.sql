-- Whether anything at all may stand against the acceptance of a submit. See find_refuted.
(SELECT EXISTS (SELECT FROM forbidden_answers) OR EXISTS (SELECT FROM pauses WHERE probe_at IS NOT NULL))
