-- Counts of what servers on one store must hear of from each other.
CREATE TABLE changes (
    name TEXT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);
