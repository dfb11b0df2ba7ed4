-- Which budget is deleted?
DELETE FROM budgets WHERE subject_id = :subject_id AND period = :period
