-- A history as version 1 of the tables kept it. Never edited: it is what an earlier squall wrote.
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    experiment TEXT NOT NULL,
    started INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    telling INTEGER NOT NULL,
    documented INTEGER NOT NULL,
    measured INTEGER NOT NULL,
    recovery REAL,
    recovery_within REAL,
    command TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX run_by_start ON run (started);
CREATE INDEX run_by_experiment ON run (experiment, started);
CREATE INDEX run_by_verdict ON run (verdict, started);
CREATE TABLE tag (name TEXT NOT NULL, started INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (name, started, id))
    STRICT, WITHOUT ROWID;
CREATE TABLE service (name TEXT NOT NULL, started INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (name, started, id))
    STRICT, WITHOUT ROWID;
CREATE TABLE passed_over (kind TEXT NOT NULL, name TEXT NOT NULL, why TEXT NOT NULL, PRIMARY KEY (kind, name))
    STRICT, WITHOUT ROWID;
CREATE TABLE folder (kind TEXT PRIMARY KEY, stamp INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO run VALUES (1, '20260301-080000-0001', 'pay', 1772352000000000, 'passed', 1, 1, 0, 1.5, 30.0, 'squall run pay.yaml', '{"run": "20260301-080000-0001", "experiment": "pay", "hypothesis": "it holds", "file": "pay.yaml", "services": ["payment"], "tags": ["nightly"], "started": "2026-03-01T08:00:00Z", "ended": "2026-03-01T08:01:00Z", "seconds": 60.0, "verdict": "passed", "reasons": ["the hypothesis held"], "injections": 2, "strikes": [{"fault": "network.latency", "target": "eth0"}, {"fault": "network.latency", "target": "eth1"}], "recovery_seconds": 1.5, "recovery_within": 30.0, "comparisons": []}');
INSERT INTO service VALUES ('payment', 1772352000000000, 1);
INSERT INTO tag VALUES ('nightly', 1772352000000000, 1);
INSERT INTO run VALUES (2, '20260302-080000-0002', 'pay', 1772438400000000, 'not_steady', 0, 0, 0, NULL, NULL, 'squall run pay.yaml', '{"run": "20260302-080000-0002", "experiment": "pay", "file": "pay.yaml", "services": ["payment"], "started": "2026-03-02T08:00:00Z", "ended": "2026-03-02T08:00:01Z", "seconds": 1.0, "verdict": "not_steady", "reasons": ["error_rate < 1% did not hold"], "injections": 0, "strikes": [], "comparisons": []}');
INSERT INTO service VALUES ('payment', 1772438400000000, 2);
PRAGMA user_version = 1;
