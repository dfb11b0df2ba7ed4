CREATE TABLE books (
    id smallint NOT NULL DEFAULT 1,
    books_id uuid,
    server text,
    recoveries integer NOT NULL DEFAULT 0,
    doubt text,
    doubted_at timestamptz,
    CONSTRAINT books_pkey PRIMARY KEY (id),
    CONSTRAINT books_id_check CHECK (id = 1),
    CONSTRAINT books_doubt_check CHECK (doubt IN ('older', 'moved', 'unvouched', 'copied')),
    CONSTRAINT books_doubted_check CHECK ((doubt IS NULL) = (doubted_at IS NULL))
)

INSERT INTO books DEFAULT VALUES

ALTER TABLE pauses ADD COLUMN reason text

ALTER TABLE processes
    ADD COLUMN beats integer NOT NULL DEFAULT 0,
    ADD COLUMN vouched_for text

COMMENT ON TABLE books IS 'One row: which books these are, where they were last written, and whether they may be older than what was sent'

COMMENT ON COLUMN books.books_id IS 'Made by the first process that opens the database; a copy has the same. Null: no process has opened it yet'

COMMENT ON COLUMN books.server IS 'System identifier, timeline and database oid of the server on which they were last known to be complete'

COMMENT ON COLUMN books.recoveries IS 'How often waystation recover has gone through; processes forget what they knew from before'

COMMENT ON COLUMN books.doubt IS 'Why sending is stopped. older: something that a process knows is missing. moved: another server or timeline. unvouched: jobs wait, and nobody knows these books. copied: the data directory of up is a copy. Null: it is not'

COMMENT ON COLUMN books.doubted_at IS 'Since when'

COMMENT ON COLUMN pauses.reason IS 'restored: the database may be older than what was sent, and waystation recover ends the pause. Null: an operator''s, or the upstream''s'

COMMENT ON COLUMN processes.beats IS 'How often it has said that it lives: the process remembers the last one, and finds an older database by it'

COMMENT ON COLUMN processes.vouched_for IS 'The server (as in books) on which it has found all that it knew, after the database had moved'

GRANT SELECT, UPDATE ON books TO waystation_service
