-- Sources of imports, and the start of the last complete run on the importer's clock.

CREATE TABLE imports (
    source   TEXT PRIMARY KEY,
    begun_at BIGINT NOT NULL
) ${CLUSTERED};
