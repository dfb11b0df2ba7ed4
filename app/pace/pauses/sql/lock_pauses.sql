-- Which lock keeps others from changing pauses until this transaction ends?
-- Claims still read them.
LOCK TABLE pauses IN SHARE ROW EXCLUSIVE MODE
