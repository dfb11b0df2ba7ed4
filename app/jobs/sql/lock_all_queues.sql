-- Which other transactions write to any queue?
-- They wait until this transaction ends.
LOCK TABLE queues IN EXCLUSIVE MODE
