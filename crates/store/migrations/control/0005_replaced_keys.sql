-- The key that took the place of a rotated one. What was asked for with the old key goes on under the new one.
ALTER TABLE keys ADD COLUMN replaced_by TEXT;
