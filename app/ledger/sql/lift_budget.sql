-- How is a budget lifted?
DELETE FROM budgets WHERE subject_id = :subject_id AND period = :period
