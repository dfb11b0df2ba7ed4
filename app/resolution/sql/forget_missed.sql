-- Which of these requests are too old to count?
DELETE FROM late_requests WHERE sent_at < now() - make_interval(days => :days)
