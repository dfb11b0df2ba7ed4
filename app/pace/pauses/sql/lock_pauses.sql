-- Who else may change pauses until this transaction ends? Nobody. Claims go on reading them.
LOCK TABLE pauses IN SHARE ROW EXCLUSIVE MODE
