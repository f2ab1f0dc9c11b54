-- Where accounts and sessions were brought in from, and when the last complete run began, by the importer's clock.

CREATE TABLE imports (
    source   TEXT PRIMARY KEY,
    begun_at BIGINT NOT NULL
) ${CLUSTERED};
