-- Time at which a user's e-mail address was verified, in milliseconds since the Unix epoch. NULL: not verified, or not
-- known.

ALTER TABLE users ADD COLUMN email_verified_at BIGINT;
