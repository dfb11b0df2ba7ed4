-- Who else writes to any queue? They wait until the transaction ends.
LOCK TABLE queues IN EXCLUSIVE MODE
