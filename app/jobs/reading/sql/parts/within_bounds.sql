-- Whether a row, whose id is {id}, belongs to the page's range.
(created_at, {id}) < ((SELECT at FROM bound), (SELECT id FROM bound))
AND created_at > coalesce(:created_after, '-infinity'::timestamptz)
