-- Whether a row with the id {id} is in the range of the page.
(created_at, {id}) < ((SELECT at FROM bound), (SELECT id FROM bound))
AND created_at > coalesce(:created_after, '-infinity'::timestamptz)
